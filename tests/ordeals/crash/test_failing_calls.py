"""Every call that reads or changes the disk fails in turn, with every error that fits it."""

from __future__ import annotations

import errno
import math
import random

import pytest

from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.harness import Case, Harness, Try, spread
from tests.support.figures import Tell
from tests.support.options import Points

CASES = [
    Case(scenario, driver, durability="durable")
    for driver in ("overlay2", "vfs")
    for scenario in ("layers", "mounts", "images", "reopening", "repairing")
]
FEW = 12
"""Calls that fail where few are wanted."""
NAMES = {"create", "mkdir", "mknod", "symlink", "link", "rename"}
CONTENT = {"write", "truncate", "clone"}
ATTRIBUTES = {"chmod", "chown", "utime", "setxattr"}
GOING = {"unlink", "rmdir"}
SYNCING, MOUNTING = {"fsync", "syncfs"}, {"mount", "umount"}
FILLING = ("create", "mkdir", "mknod", "symlink", "link", "write", "clone")
"""What fails on a disk that is full, until somebody is told."""
FITTING = {
    errno.ENOSPC: NAMES | CONTENT | SYNCING | {"setxattr"},
    errno.EIO: NAMES
    | CONTENT
    | ATTRIBUTES
    | GOING
    | {"fsync", "syncfs", "open", "mount", "umount"},
    errno.EMFILE: {"create", "open"},
    errno.EBUSY: GOING | MOUNTING | {"rename"},
    errno.EROFS: NAMES | CONTENT | ATTRIBUTES | GOING,
    errno.EPERM: NAMES | CONTENT | ATTRIBUTES | GOING | MOUNTING,
}


def _plans(attempt: Try) -> list[list[seam.Plan]]:
    """Return for each call, in an undisturbed run, every way in which it can fail."""
    outcome = attempt.run(seam.Plan(reach=seam.CHANGES_AND_OPENS), log=True)
    assert outcome.status == 0, outcome.told
    return [_ways(event) for event in seam.events(attempt.log) if event.number and _ways(event)]


def _ways(event: seam.Event) -> list[seam.Plan]:
    both = seam.CHANGES_AND_OPENS
    ways = [
        seam.Plan(seam.Mode.FAIL_ONCE, event.number, error, both)
        for error, kinds in FITTING.items()
        if event.kind in kinds
    ]
    if event.kind in FILLING:
        full = ",".join(FILLING)
        ways.append(seam.Plan(seam.Mode.FAIL_ON, event.number, errno.ENOSPC, both, full))
    return ways


def _failed(attempt: Try, plan: seam.Plan) -> str:
    outcome = attempt.run(plan, failing=True)
    seen = attempt.seen()
    return f"{plan}, {seen.kind} {seen.path}: {outcome.told}" if outcome.status else ""


@pytest.mark.root
@pytest.mark.parametrize(
    ("case", "kind", "place"),
    [(CASES[1], "umount", "-init/"), (CASES[2], "rename", "/imagedb/content/")],
    ids=["unmounting an init layer", "deleting an image"],
)
def test_what_follows_a_first_step_that_went_well_fails(
    case: Case, kind: str, place: str, harness: Harness
) -> None:
    def points(attempt: Try) -> list[seam.Plan]:
        outcome = attempt.run(seam.Plan(), log=True)
        assert outcome.status == 0, outcome.told
        return [
            seam.Plan(seam.Mode.FAIL_ONCE, event.number, errno.EIO)
            for event in seam.events(attempt.log)
            if event.kind == kind and place in event.path
        ]

    plans = harness.attempt(case, points)
    assert plans
    assert harness.each(case, plans, _failed, math.inf) == len(plans)


@pytest.mark.root
def test_a_busy_unmount_is_tried_again_and_traced(harness: Harness) -> None:
    case = Case("reopening", "overlay2", durability="durable")

    def unmounts(attempt: Try) -> list[int]:
        outcome = attempt.run(seam.Plan(), log=True)
        assert outcome.status == 0, outcome.told
        return [
            event.number
            for event in seam.events(attempt.log)
            if event.kind == "umount" and "/overlay2/" in event.path
        ]

    def busy(attempt: Try) -> str:
        plan = seam.Plan(seam.Mode.FAIL_ONCE, harness.attempt(case, unmounts)[0], errno.EBUSY)
        outcome = attempt.run(plan, failing=True)
        assert outcome.status == 0, outcome.told
        assert attempt.seen().kind == "umount"
        return outcome.told

    told = harness.attempt(case, busy)
    assert "removal of a mount went well all the same" in told
    assert "UnmountLayer after 1 retry)" in told


@pytest.mark.root
def test_no_layer_is_lost_to_a_repair_by_force_that_ran_out_of_descriptors(
    harness: Harness, points: Points
) -> None:
    case = Case("forcing", "overlay2", durability="durable")

    def opens(attempt: Try) -> list[seam.Plan]:
        outcome = attempt.run(seam.Plan(reach=seam.CHANGES_AND_OPENS), log=True)
        assert outcome.status == 0, outcome.told
        events = [e for e in seam.events(attempt.log) if e.kind in FITTING[errno.EMFILE]]
        return [
            seam.Plan(seam.Mode.FAIL_ONCE, event.number, errno.EMFILE, seam.CHANGES_AND_OPENS)
            for event in events
            if "/layerdb/" in event.path
        ]

    plans = harness.attempt(case, opens)[-70 if points != "few" else -FEW :]
    harness.each(case, plans, _failed, math.inf)


@pytest.mark.root
@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_that_fails_is_told_of_undone_and_can_be_repeated(
    case: Case, harness: Harness, points: Points, tell: Tell
) -> None:
    calls = harness.attempt(case, _plans)
    chance = random.Random(str(case))  # noqa: S311
    plans = [
        plan for ways in calls for plan in (ways if points == "all" else [chance.choice(ways)])
    ]
    if points == "many" and case.driver == "vfs":
        plans = plans[::2]  # most are the store's, whatever its driver
    if points == "few":
        plans = [plans[place - 1] for place in sorted(spread(len(plans))[:FEW])]
    tried = harness.each(case, plans, _failed, math.inf)
    existing = sum(map(len, calls))
    tell(f"{case}: {len(calls)} calls failed in {tried} of {existing} ways")
    assert tried == len(plans) >= (FEW if points == "few" else 10)
