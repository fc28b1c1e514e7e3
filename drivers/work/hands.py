"""What a driver worker does its jobs with, and what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.model.tree import Change
from layerstore.drivers.work.descriptors import Descriptors
from layerstore.drivers.work.job import Job
from layerstore.drivers.work.layers import AppliedLayer

Outcome = (
    AppliedLayer
    | list[Change]
    | list[Fault]
    | list[RepairStep]
    | dict[str, str]
    | dict[str, int | None]
    | str
    | int
    | None
)


class Performed(Struct, frozen=True, kw_only=True):
    """What became of one of several jobs; times in nanoseconds of the monotonic clock."""

    error: LayerStoreError | None
    begun: int
    ended: int
    retries: int = 0
    child: int | None = None
    """Process ID of the child that did it, if one did."""


class Hands(Protocol):
    """What a driver worker does its jobs with; one thread at a time uses it."""

    retries: int
    """Attempts that the last job had to repeat, in this process, because of EBUSY and its like."""

    @property
    def child_pid(self) -> int | None:
        """Process ID of the child that heavy jobs are done by, if there is one."""

    def perform(self, job: Job, descriptors: Descriptors) -> Outcome:
        """Do the job, closing the descriptors; raises LayerStoreError and nothing else."""

    @property
    def takes_many(self) -> bool:
        """Whether there is a child now to do many jobs for one message."""

    def perform_all(self, jobs: Sequence[Job]) -> list[Performed]:
        """Do jobs that join, in the child as far as it can and lives."""

    def warm_up(self) -> None:
        """Make ready for a heavy job without waiting."""

    def cancel(self, job: Job) -> None:
        """Have a heavy job, which is performed or about to be, fail; from any thread, at once."""

    def close(self) -> None:
        """End what perform started. Idempotent."""


class SweepHands(Hands, Protocol):
    """What the reaper works with."""

    def hurry(self) -> None:
        """Have a sweep that is under way no more give way to other work; from any thread."""
