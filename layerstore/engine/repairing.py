"""Repairing a store that nobody uses: planning and taking the steps.

Owns the order: first the plan is told, then every step is taken, and the first that fails ends the
repair, because later ones rely on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from layerstore.asking.core import Core
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.root.trash import prepare_trash
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.work import PlanRepair, Repair
from layerstore.drivers.worker.hands import WorkerHands

Announce = Callable[[list[RepairStep]], None]
"""Called with all steps, those that need force among them, before the first is taken."""


def plan(core: Core, faults: Iterable[Fault], *, busy: Iterable[str]) -> list[RepairStep]:
    """Return what a repair would do, of all but what is `busy`."""
    hands = _hands(core)
    try:
        return _planned(hands, faults, busy)
    finally:
        hands.close()


def _planned(
    hands: WorkerHands, faults: Iterable[Fault], busy: Iterable[str] = ()
) -> list[RepairStep]:
    job = PlanRepair(faults=tuple(faults), mounted=mount_paths(), busy=tuple(busy))
    return cast("list[RepairStep]", hands.perform(job, ()))


def _hands(core: Core) -> WorkerHands:
    return WorkerHands(core.disk, core.config, children=core.workers > 0)


def repair(
    core: Core, faults: Iterable[Fault], *, force: bool, announce: Announce | None
) -> list[RepairStep]:
    """Plan and take the steps, those that need it only with `force`; returns all of them.

    `core` is of the store as it was, which is closed.

    Raises what a step fails with.
    """
    hands = _hands(core)
    try:
        steps = _planned(hands, faults)
        if announce is not None:
            announce(steps)
        prepare_trash(core.disk.trash)
        for step in steps:
            if force or not step.force:
                hands.perform(Repair(step=step), ())
    finally:
        hands.close()
    return steps
