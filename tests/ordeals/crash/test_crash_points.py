"""SIGKILL to the whole process group before each call that changes the disk, then a new open."""

from __future__ import annotations

import math

import pytest

from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.alike import Call, hit, not_shown_by, recorded, worth_a_try
from tests.ordeals.crash.rig.harness import AT_LEAST, Case, Harness, Try, spread
from tests.support.figures import Tell
from tests.support.homes import OVERLAYS
from tests.support.options import Points

SCENARIOS = ("layers", "mounts", "images", "reopening", "repairing", "forcing", "together")
CASES = [
    Case(scenario, driver, workers)
    for driver in (*OVERLAYS, "vfs", "btrfs")
    for workers in (0, 1)
    for scenario in (SCENARIOS if workers == 0 else ("layers",))
    if driver != "btrfs" or not workers
    if driver != "fuse-overlayfs" or scenario in ("layers", "mounts")  # only mounts are its own
] + [
    Case("scratch", "overlay2"),
    Case("forks", "overlay2"),
    Case("forks", "btrfs"),
    Case("forks", "overlay2", 1),
]
CHILD_SECONDS = 4.0
"""For each case where a child works: a try takes long."""


def _worth_a_try(case: Case, harness: Harness) -> list[Call]:
    """Return what no scenario before this one has shown, nor overlay2's where one copies."""
    before = [one for one in CASES[: CASES.index(case)] if one.driver == case.driver]
    assert not case.workers
    others = [harness.attempt(one, recorded(seam.CHANGES)) for one in before]
    worth = worth_a_try(harness.attempt(case, recorded(seam.CHANGES)), others)
    if case.driver in OVERLAYS:
        return worth
    same = Case(case.scenario, "overlay2")
    return not_shown_by(harness.attempt(same, recorded(seam.CHANGES)), worth)


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
    if points == "many" and not case.workers:
        _kill_at_each_kind(case, harness, existing, tell)
        return
    seconds = {"few": 0.5, "many": CHILD_SECONDS, "all": math.inf}[points]
    tried = harness.each(case, spread(existing), _killed_before, seconds, AT_LEAST[points])
    tell(f"{case}: killed at {tried} of {existing} points")
    assert tried >= AT_LEAST[points]


_TRASH = "/layerstore/trash/"


def _kill_at_each_kind(case: Case, harness: Harness, existing: int, tell: Tell) -> None:
    calls = _worth_a_try(case, harness)
    kinds = {(call.alike.kind, call.alike.place) for call in calls}
    found: set[tuple[str, str]] = set()

    def killed(attempt: Try, number: int) -> str:
        wrong = _killed_before(attempt, number)
        found.add(hit(attempt))
        return wrong

    tried = harness.each(case, [call.number for call in calls], killed, math.inf)
    hits = len(kinds & found)
    tell(f"{case}: killed at {tried} of {existing} points, {hits} of {len(kinds)} kinds")
    # Threads take turns otherwise in each run, so that a number may be a neighbour's; and the trash
    # is emptied when nobody else wants to do anything, which may be after the last number.
    assert tried == len(calls) > (10 if case.driver in OVERLAYS else 0)
    certain = {kind for kind in kinds if not kind[1].startswith(_TRASH)}
    # Of drivers that copy only what copies is tried: a few calls whose neighbours are others'.
    least = 0.8 if case.driver in OVERLAYS else 0.4
    assert len(certain & found) > least * len(certain), certain - found
