"""The jobs on read-write layers.

Owns their fields, and what can be done to one that somebody holds (`MOUNT_WORK`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from msgspec import field

from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.tree import Change, ChangeKind, TarStyle
from layerstore.drivers.work.descriptors import TarSource
from layerstore.drivers.work.job import Job
from layerstore.drivers.work.layers import DriverMetadata, StreamDifference

USERNS = "userns"
"""The storage option that has the map of a read-write layer's user IDs."""

Init = Callable[[str], None]


class MountJob(Job, frozen=True, kw_only=True):
    """The root of the jobs on one read-write layer."""

    mount_id: str

    @property
    def about(self) -> tuple[str, ...]:
        """See Job."""
        return (self.mount_id,)

    def summary(self) -> str:
        """Return the mount ID."""
        return self.mount_id[:12]


class WholeMountJob(MountJob, frozen=True, kw_only=True):
    """The root of the jobs on all of one: itself, its init layer and its metadata."""

    name: str
    init_id: str | None
    transaction: str
    again: bool = False
    """Somebody who died may have begun with it, or even have done it."""

    def summary(self) -> str:
        """Return the name and mount ID."""
        return f"{self.name} {self.mount_id[:12]}"


class CreateMount(WholeMountJob, frozen=True, kw_only=True):
    """Make a read-write layer: its init layer where `init` is given, itself, its metadata."""

    parent: ChainID | None
    parent_cache_id: str | None
    mount_label: str = ""
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    init: Init | None = None

    @property
    def joins(self) -> bool:
        """See Job; a function can't travel, and nobody would see a mount that a child made."""
        asked = self.storage_opt
        alone = "size" in asked or asked.get("scratch") == "memory" or USERNS in asked
        return self.init is None and self.init_id is None and not alone


class ForkMount(WholeMountJob, frozen=True, kw_only=True):
    """Make a read-write layer with the content that another has now, and what is kept beside it."""

    heavy: ClassVar[bool] = True

    source_id: str
    source_init_id: str | None
    """The source's init layer; `init_id` is the one that is made of it."""
    id_map: str = ""
    """The map of its user IDs, which may be another than the source's; empty for none."""
    parent: ChainID | None
    parent_cache_id: str | None
    begun: bool = False
    """The layer is there, and has to be filled: whoever began with it undoes that, too."""

    @property
    def about(self) -> tuple[str, ...]:
        """See Job."""
        layers = (self.mount_id, self.init_id, self.source_id, self.source_init_id)
        return tuple(layer for layer in layers if layer is not None)

    def summary(self) -> str:
        """Return the name and mount ID, and the source's."""
        return f"{WholeMountJob.summary(self)} of {self.source_id[:12]}"


class ResetMount(MountJob, frozen=True, kw_only=True):
    """Have a read-write layer that isn't mounted show its parent's content again."""

    parent_id: str | None
    spare_id: str
    """What the new content is made beneath."""


class RemoveMount(WholeMountJob, frozen=True, kw_only=True):
    """Move a read-write layer that is not mounted into the trash, with its init layer.

    `transaction` is a new one, which its metadata is until all of it is gone.
    """

    follows: ClassVar[bool] = True

    @property
    def joins(self) -> bool:
        """See Job."""
        return True


class MountLayer(MountJob, frozen=True, kw_only=True):
    """Mount a read-write layer; the outcome is its path."""

    mount_label: str = ""


class UnmountLayer(MountJob, frozen=True, kw_only=True):
    """Unmount a read-write layer."""

    follows: ClassVar[bool] = True


class ApplyToMount(MountJob, frozen=True, kw_only=True):
    """Unpack a tar into a read-write layer; the outcome is its unpacked size in bytes."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = int

    parent_id: str | None
    source: TarSource


class ListChanges(MountJob, frozen=True, kw_only=True):
    """Compare a read-write layer with its parent; the outcome is a list of Change."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = list[tuple[str, ChangeKind]]

    parent_id: str | None

    def outcome(self, brought: list[tuple[str, ChangeKind]]) -> list[Change]:
        """See Job."""
        return [Change(path, kind) for path, kind in brought]


class CountUsage(Job, frozen=True, kw_only=True):
    """Ask the file system's quotas for read-write layers; the outcome is bytes by ID.

    None where nothing counts them; those that are gone meanwhile are left out.
    """

    mount_ids: tuple[str, ...]

    def summary(self) -> str:
        """Return how many they are."""
        return f"{len(self.mount_ids)} layers"


class MeasureMount(MountJob, frozen=True, kw_only=True):
    """Add up a read-write layer's own files; the outcome is bytes."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = int

    parent_id: str | None


MountWork = Literal["changes", "size", "read", "read whole", "apply", "inspect"]
READING: frozenset[MountWork] = frozenset(("read", "read whole"))
"""Those that write a tar."""

MOUNT_WORK: dict[MountWork, Callable[[str, str | None, TarSource, TarStyle], Job]] = {
    "changes": lambda mount, parent, *_: ListChanges(mount_id=mount, parent_id=parent),
    "size": lambda mount, parent, *_: MeasureMount(mount_id=mount, parent_id=parent),
    "read": lambda mount, parent, _, style: StreamDifference(
        layer_id=mount, parent_id=parent, style=style
    ),
    "read whole": lambda mount, _parent, _source, style: StreamDifference(
        layer_id=mount, parent_id=None, style=style
    ),
    "apply": lambda mount, parent, source, _: ApplyToMount(
        mount_id=mount, parent_id=parent, source=source
    ),
    "inspect": lambda mount, *_: DriverMetadata(layer_id=mount),
}
"""What can be done to a read-write layer that is held: by its ID, its parent's, and a tar."""
