"""The steps of a repair, as plain data.

Owns what a step can be; which are taken is the business of `upkeep/repair_plan`, what they
do to the disk that of `upkeep/perform`.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from layerstore.drivers.model.faults import FaultKind


class Action(enum.StrEnum):
    """What a step does; the value says it for people."""

    SET_ASIDE = "remove"
    """Move a file or directory into the trash, whole."""
    REMOVE_NAME = "remove name"
    REMOVE_IMAGE = "remove image"
    REMOVE_MOUNT = "remove read-write layer"
    REMOVE_LAYER = "remove layer"
    UNMOUNT = "unmount"
    FINISH_REMOVAL = "finish the removal"
    DISCARD_TRANSACTION = "discard transaction"
    REMOVE_DIRECTORY = "remove directory"
    MEND = "make again"


class RepairStep(Struct, frozen=True, kw_only=True):
    """One step of a repair. Names from the disk stand in it as they are: escape to print."""

    action: Action
    path: str
    reason: str
    force: bool
    """Something is lost, so it is done only when that is asked for."""
    target: str = ""
    """The name or ID of what is worked on."""
    ids: tuple[str, ...] = ()
    """The driver's IDs that go with it."""
    kind: FaultKind | None = None
    """What is mended."""

    def __str__(self) -> str:
        return f"{self.action} {self.path}: {self.reason}"
