"""SIGKILL to the whole process group before each call that changes the disk, then a new open."""

from __future__ import annotations

import math

import pytest

from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.harness import Case, Harness, Try, spread
from tests.support.figures import Tell
from tests.support.options import Points

SCENARIOS = ("layers", "mounts", "images", "reopening", "repairing", "forcing")
CASES = [
    Case(scenario, driver, workers)
    for driver in ("overlay2", "vfs")
    for workers in (0, 1)
    for scenario in (SCENARIOS if workers == 0 else ("layers",))
]
MANY_SECONDS = {0: math.inf, 1: 8.0}
"""For each case, by the number of workers: with a child a try takes long."""


def _killed_before(attempt: Try, number: int) -> str:
    outcome = attempt.run(seam.Plan(seam.Mode.KILL, number))
    seen = attempt.seen()
    if outcome.status != (-9 if seen.hits else 0):
        return f"call {number}: exit status {outcome.status}: {outcome.told}"
    after = attempt.verify()
    if after.status:
        return f"killed before call {number}, {seen.kind} {seen.path}: {after.told}"
    return ""


@pytest.mark.root
@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kill_before_any_call_leaves_what_was_answered(
    case: Case, harness: Harness, points: Points, tell: Tell
) -> None:
    existing = harness.count(case)
    seconds = {"few": 0.5, "many": MANY_SECONDS[case.workers], "all": math.inf}[points]
    tried = harness.each(case, spread(existing), _killed_before, seconds)
    tell(f"{case}: killed at {tried} of {existing} points")
    assert tried > (10 if points != "few" else 2)
