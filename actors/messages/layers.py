"""Messages to the LayerRegistry: what callers ask, and what the MountRegistry tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from layerstore.actors.runtime.message import Message
from layerstore.actors.runtime.ref import Ref
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.work import CheckJob, Descriptors, TarSource


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutLayer(Message):
    """What messages about one layer have in common."""

    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutHeldLayer(AboutLayer):
    """What requests have in common that name a layer and the reference that retains it."""

    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "chain_id")

    reference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Message):
    """Make a layer from a tar; answered with LayerMetadata, retained by `reference`."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "parent")
    abandoned_by: ClassVar[str | None] = "reference"

    reference: int
    parent: ChainID | None
    descriptor: str | None
    source: TarSource
    descriptors: Descriptors = field(repr=False)

    def summary(self) -> str:
        """Return the parent."""
        return f"on {self.parent[:19]}" if self.parent else "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetLayer(AboutHeldLayer):
    """Retain a layer by a new reference; answered with LayerMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    abandoned_by: ClassVar[str | None] = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLayer(AboutHeldLayer):
    """Give a reference back; answered with a list of LayerMetadata of what went, top first."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayers(Message):
    """Answered with a dictionary of chain ID -> LayerMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLayer(AboutHeldLayer):
    """Write a retained layer's tar to the descriptor: as registered, or as diff against another."""

    public: ClassVar[bool] = True
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
    descriptors: Descriptors = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectLayer(AboutHeldLayer):
    """Answered with the driver's metadata of a retained layer, a dictionary of strings."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainLayer(AboutLayer):
    """Keep a layer for a mount; answered by Done with LayerMetadata."""

    token: int
    reply_to: Ref = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropLayer(AboutLayer):
    """Undo RetainLayer; answered by Done with a list of LayerMetadata of what went."""

    token: int
    failed: bool
    """The mount was never made, so the layer is left as it was."""
    reply_to: Ref = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDisk(Message):
    """Have a worker compare the disk with the metadata, or plan a repair; the job's outcome."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    job: CheckJob = field(repr=False)

    def summary(self) -> str:
        """Return the job."""
        return type(self.job).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLayer(AboutLayer):
    """Have a worker read a layer back, which stays meanwhile; answered with a list of Fault."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("chain_id",)
