"""Messages to the LayerRegistry: what callers ask, and what the MountRegistry tells."""

from __future__ import annotations

from typing import ClassVar

from layerstore.actors.messages.metadata import LayerMetadata
from layerstore.actors.runtime.message import Message, Shared
from layerstore.actors.runtime.ref import Ref
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.drivers.work import CheckJob, CreateMount, Descriptors, ForkMount, TarSource


class AboutLayer(Message, frozen=True, kw_only=True):
    """What messages about one layer have in common."""

    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


class AboutHeldLayer(AboutLayer, frozen=True, kw_only=True):
    """What requests have in common that name a layer and the reference that retains it."""

    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "chain_id")

    reference: int


class Register(Message, frozen=True, kw_only=True):
    """Make a layer from a tar; answered with LayerMetadata, retained by `reference`."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(LayerMetadata, ("layers",))
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "parent")
    abandoned_by: ClassVar[str | None] = "reference"

    reference: int
    parent: ChainID | None
    descriptor: str | None
    source: TarSource
    descriptors: Descriptors
    ahead: bool = False
    """On a parent that may still be on its way itself, found by the chain ID that it is to have.
    So will be this one: its source says its diff ID."""

    def summary(self) -> str:
        """Return the parent."""
        return f"on {self.parent[:19]}" if self.parent else "base"


class GetLayer(AboutHeldLayer, frozen=True, kw_only=True):
    """Retain a layer by a new reference; answered with LayerMetadata."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(LayerMetadata, ("layers",))
    repeatable: ClassVar[bool] = True
    abandoned_by: ClassVar[str | None] = "reference"


class ReleaseLayer(AboutHeldLayer, frozen=True, kw_only=True):
    """Give a reference back; answered with a list of LayerMetadata of what went, top first."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[LayerMetadata], ("layers",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = (*(AboutHeldLayer.recorded or ()), "keep")

    keep: bool = False
    """It is as if it had never been retained: the layer stays, unless others have let it go."""


class FindLayer(Message, frozen=True, kw_only=True):
    """Answered with LayerMetadata of the one layer whose chain ID begins so."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(LayerMetadata, ("layers",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("start",)

    start: str
    """Of the ID's digits."""

    def summary(self) -> str:
        """Return the start."""
        return self.start


class FindTwin(Message, frozen=True, kw_only=True):
    """Answered with the chain ID of a layer of this diff ID, on whatever parent, or None."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(ChainID | None, ("layers",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("diff_id",)

    diff_id: DiffID

    def summary(self) -> str:
        """Return the diff ID."""
        return self.diff_id[:19]


class MapLayers(Message, frozen=True, kw_only=True):
    """Answered with a dictionary of chain ID -> LayerMetadata."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(dict[ChainID, LayerMetadata], ("layers",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class ReadLayer(AboutHeldLayer, frozen=True, kw_only=True):
    """Write a retained layer's tar to the descriptor: as registered, or as diff against another."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(None, ("layers",))
    recorded: ClassVar[tuple[str, ...] | None] = (
        "reference",
        "chain_id",
        "against",
        "whole",
        "sparse",
    )

    against: ChainID | None = None
    """An ancestor, or None for the registered tar."""
    whole: bool = False
    """Diff against nothing: the whole root file system."""
    sparse: bool = False
    """A diff has sparse members for files that are mostly holes."""
    descriptors: Descriptors


class InspectLayer(AboutHeldLayer, frozen=True, kw_only=True):
    """Answered with the driver's metadata of a retained layer, a dictionary of strings."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(dict[str, str], ("layers",))
    repeatable: ClassVar[bool] = True


class RetainLayer(AboutLayer, frozen=True, kw_only=True):
    """Keep a layer for a mount or an image; answered by Done with LayerMetadata.

    With a job, that is sent on with what it asks of the layer, and answered by the job's Done,
    which has the metadata along.
    """

    token: int
    reply_to: Ref
    job: CreateMount | ForkMount | None = None


class DropLayer(AboutLayer, frozen=True, kw_only=True):
    """Undo RetainLayer; answered by Done with a list of LayerMetadata of what went."""

    token: int
    failed: bool
    """The mount was never made, so the layer is left as it was."""
    reply_to: Ref


class CheckDisk(Message, frozen=True, kw_only=True):
    """Have a worker compare the disk with the metadata, or plan a repair; the job's outcome."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[Fault], ("layers",))
    repeatable: ClassVar[bool] = True

    job: CheckJob

    def summary(self) -> str:
        """Return the job."""
        return type(self.job).__name__


class CheckLayer(AboutLayer, frozen=True, kw_only=True):
    """Have a worker read a layer back, which stays meanwhile; answered with a list of Fault."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[Fault], ("layers",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("chain_id",)
