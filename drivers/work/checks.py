"""The jobs of a check and a repair, as plain data.

Owns their fields only. Nothing here touches the disk.
"""

from __future__ import annotations

from typing import Any, ClassVar

from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.work.job import Job
from layerstore.drivers.work.layers import LayerJob


class CheckJob(Job, frozen=True, kw_only=True):
    """The root of these jobs."""


class InspectRoot(CheckJob, frozen=True, kw_only=True):
    """Compare the disk with the metadata; the outcome is a list of Fault."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = list[Fault]

    mounted: tuple[str, ...]
    """Mount points as whoever asks sees them; a confined process sees none."""


class VerifyLayer(CheckJob, LayerJob, frozen=True, kw_only=True):
    """Read a layer back to nowhere; the outcome is a list of Fault."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = list[Fault]

    cache_id: str
    diff_id: DiffID
    size: int
    """What its metadata says of its own files, in bytes."""


class PlanRepair(CheckJob, frozen=True, kw_only=True):
    """Say what to do about faults; the outcome is a list of RepairStep."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = list[RepairStep]

    faults: tuple[Fault, ...]
    mounted: tuple[str, ...]
    """Mount points as whoever asks sees them; a confined process sees none."""
    busy: tuple[str, ...] = ()
    """IDs of what is just being made or removed."""


class Repair(CheckJob, frozen=True, kw_only=True):
    """Take one step of a repair, while nobody else uses the root. Idempotent."""

    step: RepairStep

    def summary(self) -> str:
        """Return what is done."""
        return self.step.action
