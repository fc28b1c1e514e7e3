"""Every call that reads or changes the disk fails in turn, with every error that fits it."""

from __future__ import annotations

import errno
import math
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.alike import Call, not_shown_by, recorded, worth_a_try
from tests.ordeals.crash.rig.harness import Case, Harness, Try, spread
from tests.support.figures import Tell
from tests.support.homes import OVERLAYS
from tests.support.options import Points

CASES = [
    Case(scenario, driver, durability="durable")
    for driver in (*OVERLAYS, "vfs", "btrfs")
    for scenario in ("layers", "mounts", "images", "reopening", "repairing")
    if driver != "fuse-overlayfs" or scenario in ("layers", "mounts")  # only mounts are its own
] + [
    Case("scratch", "overlay2", durability="durable"),
    Case("forks", "overlay2", durability="durable"),
]
FEW = 12
"""Calls that fail where few are wanted."""
NAMES = {"create", "mkdir", "mknod", "symlink", "link", "rename", "subvolume", "snapshot"}
CONTENT = {"write", "truncate", "clone"}
ATTRIBUTES = {"chmod", "chown", "utime", "setxattr", "setflags"}
GOING = {"unlink", "rmdir", "destroy", "destroy-by-id"}
SYNCING, MOUNTING = {"fsync", "syncfs"}, {"mount", "umount"}
FILLING = ("create", "mkdir", "mknod", "symlink", "link", "write", "clone", "subvolume", "snapshot")
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


def _calls(case: Case, harness: Harness) -> list[Call]:
    """Return the calls of an undisturbed run that can fail."""
    calls = harness.attempt(case, recorded(seam.CHANGES_AND_OPENS))
    return [call for call in calls if _ways(call.event)]


def _worth_a_try(case: Case, harness: Harness, calls: list[Call]) -> list[Call]:
    """Return the calls that no scenario before this one has shown, nor overlay2's."""
    before = [one for one in CASES[: CASES.index(case)] if one.driver == case.driver]
    worth = worth_a_try(calls, [_calls(one, harness) for one in before])
    if case.driver == "overlay2":
        return worth
    same = next(one for one in CASES if one.scenario == case.scenario)
    return not_shown_by(_calls(same, harness), worth)


def _in_turn(calls: Sequence[Call]) -> list[seam.Plan]:
    """Return one way for each call: calls of one kind have all errors that fit them, by turns."""
    turns: Counter[str] = Counter()
    plans = []
    for call in calls:
        ways = _ways(call.event)
        plans.append(ways[turns[call.event.kind] % len(ways)])
        turns[call.event.kind] += 1
    return plans


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
    calls = _calls(case, harness)
    every = [plan for call in calls for plan in _ways(call.event)]
    if points == "all":
        plans = every
    elif points == "many":
        plans = _in_turn(_worth_a_try(case, harness, calls))
    else:
        some = _in_turn(calls)
        plans = [some[place - 1] for place in sorted(spread(len(some))[:FEW])]
    tried = harness.each(case, plans, _failed, math.inf)
    tell(f"{case}: calls failed in {tried} ways; {len(calls)} can fail in {len(every)}")
    # Of the other drivers' calls all may be such as overlay2's have shown.
    least = {"few": FEW, "many": int(case.driver == "overlay2"), "all": 1}[points]
    assert tried == len(plans) >= least
