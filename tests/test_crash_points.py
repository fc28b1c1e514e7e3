"""SIGKILL to the whole process group before each call that changes the disk, then a new open."""

from __future__ import annotations

import pytest

from tests.crash import seam
from tests.crash.harness import Case, Harness, Try, spread

CASES = [
    Case(scenario, driver, workers)
    for driver in ("overlay2", "vfs")
    for scenario, workers in (
        ("layers", 0),
        ("layers", 1),
        ("mounts", 0),
        ("images", 0),
        ("reopening", 0),
    )
]
SECONDS_EACH = 9.0


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
@pytest.mark.timeout(0)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kill_before_any_call_leaves_what_was_answered(
    case: Case, harness: Harness, all_points: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    points = harness.count(case)
    seconds = float("inf") if all_points else SECONDS_EACH
    tried, wrong = harness.each(case, spread(points), _killed_before, seconds)
    with capsys.disabled():
        print(f"\n{case}: killed at {tried} of {points} points", end=" ")
    assert wrong == [], f"{len(wrong)} of {tried}:\n" + "\n".join(wrong)
    assert tried > 10
