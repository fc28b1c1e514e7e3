"""Messages to the MountRegistry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import field

from layerstore.actors.messages.metadata import LayerMetadata, MountMetadata, MountsByOrigin
from layerstore.actors.runtime.message import Message, Shared
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.tree import Change
from layerstore.drivers.work import Descriptors, Init, MountWork, TarSource

Worked = list[Change] | dict[str, str] | int | None
"""What comes of work on a read-write layer."""


class AboutMount(Message, frozen=True, kw_only=True):
    """What messages about one read-write layer have in common."""

    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


class AboutHeldMount(AboutMount, frozen=True, kw_only=True):
    """What requests have in common that name a read-write layer and the reference that holds it."""

    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name")

    reference: int


class CreateRWLayer(AboutHeldMount, frozen=True, kw_only=True):
    """Make a read-write layer; answered with MountMetadata, held by `reference`."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(MountMetadata, ("mounts",))
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
    init: Init | None = None

    def for_journal(self) -> Mapping[str, Any]:
        """See Message."""
        return {**Message.for_journal(self), "init": self.init is not None}


class ForkRWLayer(AboutHeldMount, frozen=True, kw_only=True):
    """Make a read-write layer with what another has; answered and held as by CreateRWLayer."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(MountMetadata, ("mounts",))
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name", "source", "source_reference")
    abandoned_by: ClassVar[str | None] = "reference"

    source: str
    source_reference: int
    """By which the caller holds the source."""

    def summary(self) -> str:
        """Return both names."""
        return f"{self.name} of {self.source}"


class ResetRWLayer(AboutHeldMount, frozen=True, kw_only=True):
    """Have a read-write layer show its parent's content again; StillMounted where it is."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(None, ("mounts",))


class GetRWLayer(AboutHeldMount, frozen=True, kw_only=True):
    """Hold a read-write layer by a new reference; answered with MountMetadata."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(MountMetadata, ("mounts",))
    repeatable: ClassVar[bool] = True
    abandoned_by: ClassVar[str | None] = "reference"


class ReleaseRWLayer(AboutHeldMount, frozen=True, kw_only=True):
    """Give a reference back; the last one removes the layer. Answered as ReleaseLayer is."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[LayerMetadata], ("mounts",))
    repeatable: ClassVar[bool] = True


class GetMountID(AboutMount, frozen=True, kw_only=True):
    """Answered with the mount ID of a read-write layer."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(str, ("mounts",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("name",)


class FindMount(Message, frozen=True, kw_only=True):
    """Answered with MountMetadata of the one read-write layer whose ID begins so."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(MountMetadata, ("mounts",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("start",)

    start: str
    """Of its ID."""

    def summary(self) -> str:
        """Return the start."""
        return self.start


class ListMounts(Message, frozen=True, kw_only=True):
    """Answered with a list of MountMetadata, ordered by name, those in between included."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[MountMetadata], ("mounts",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class CountUsage(Message, frozen=True, kw_only=True):
    """Answered with the bytes that each read-write layer has for itself, None where uncounted.

    By name, ordered; those that are being made or removed are left out.
    """

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(dict[str, int | None], ("mounts",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class NoteOrigin(AboutHeldMount, frozen=True, kw_only=True):
    """Note which image a read-write layer was made from, as its record on the disk says."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(None, ("mounts",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name", "image_id")

    image_id: ImageID


class MountsOf(Message, frozen=True, kw_only=True):
    """Answered with MountsByOrigin: the names of the read-write layers made from an image."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(MountsByOrigin, ("mounts",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("image_id", "on_layer")

    image_id: ImageID
    on_layer: ChainID | None
    """The image's top layer."""

    def summary(self) -> str:
        """Return the image ID."""
        return self.image_id[:19]


class Mount(AboutHeldMount, frozen=True, kw_only=True):
    """Mount a read-write layer once more; answered with its path."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(str, ("mounts",))
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "name", "mount_label")

    mount_label: str = ""


class Unmount(AboutHeldMount, frozen=True, kw_only=True):
    """Undo one Mount; the last one unmounts."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(None, ("mounts",))


class WorkOnMount(AboutHeldMount, frozen=True, kw_only=True):
    """Have a worker read or change a read-write layer; answered with the job's outcome."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(
        list[Change] | dict[str, str] | int | None, ("mounts",)
    )
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
    descriptors: Descriptors = ()

    def summary(self) -> str:
        """Return the name and what is done."""
        return f"{self.name} {self.what}"


class UnmountAll(Message, frozen=True, kw_only=True):
    """Unmount what was mounted through this store; answered with the names that could not be."""

    public: ClassVar[bool] = True
