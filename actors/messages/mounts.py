"""Messages to the MountRegistry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from layerstore.actors.runtime.message import Message
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.work import Descriptors, Init, MountWork, TarSource


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutMount(Message):
    """What messages about one read-write layer have in common."""

    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutHeldMount(AboutMount):
    """What requests have in common that name a read-write layer and the reference that holds it."""

    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name")

    reference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRWLayer(AboutHeldMount):
    """Make a read-write layer; answered with MountMetadata, held by `reference`."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = (
        "reference",
        "name",
        "parent",
        "mount_label",
        "storage_opt",
    )
    abandoned_by: ClassVar[str | None] = "reference"

    parent: ChainID | None
    mount_label: str = ""
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    init: Init | None = field(default=None, repr=False)

    def for_journal(self) -> Mapping[str, Any]:
        """See Message."""
        return {**Message.for_journal(self), "init": self.init is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRWLayer(AboutHeldMount):
    """Hold a read-write layer by a new reference; answered with MountMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    abandoned_by: ClassVar[str | None] = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRWLayer(AboutHeldMount):
    """Give a reference back; the last one removes the layer. Answered as ReleaseLayer is."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GetMountID(AboutMount):
    """Answered with the mount ID of a read-write layer."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("name",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMounts(Message):
    """Answered with a list of MountMetadata, ordered by name, those in between included."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteOrigin(AboutHeldMount):
    """Note which image a read-write layer was made from, as its record on the disk says."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name", "image_id")

    image_id: ImageID


@dataclass(frozen=True, slots=True, kw_only=True)
class MountsOf(Message):
    """Answered with MountsByOrigin: the names of the read-write layers made from an image."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("image_id", "on_layer")

    image_id: ImageID
    on_layer: ChainID | None
    """The image's top layer."""

    def summary(self) -> str:
        """Return the image ID."""
        return self.image_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount(AboutHeldMount):
    """Mount a read-write layer once more; answered with its path."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name", "mount_label")

    mount_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmount(AboutHeldMount):
    """Undo one Mount; the last one unmounts."""

    public: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOnMount(AboutHeldMount):
    """Have a worker read or change a read-write layer; answered with the job's outcome."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = (
        "reference",
        "request",
        "name",
        "what",
        "sparse",
        "skip_whiteout_names",
    )
    abandoned_by: ClassVar[str | None] = "request"

    request: int
    """A number of its own, to be abandoned by."""
    what: MountWork
    sparse: bool = False
    """What is read has sparse members for files that are mostly holes."""
    skip_whiteout_names: bool = False
    """What would be a whiteout in what is read is left out."""
    source: TarSource | None = None
    descriptors: Descriptors = field(default=(), repr=False)

    def summary(self) -> str:
        """Return the name and what is done."""
        return f"{self.name} {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmountAll(Message):
    """Unmount what was mounted through this store; answered with the names that could not be."""

    public: ClassVar[bool] = True
