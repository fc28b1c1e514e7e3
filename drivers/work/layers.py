"""The jobs on read-only layers, and those that do with layers of either kind."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from layerstore.drivers.model.ids import DIGEST, ChainID, DiffID
from layerstore.drivers.model.tree import PLAIN, Count, TarStyle
from layerstore.drivers.work.descriptors import TarSource
from layerstore.drivers.work.job import Job


class LayerJob(Job, frozen=True, kw_only=True):
    """The root of the jobs on one layer that the metadata knows."""

    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


class UncommittedJob(Job, frozen=True, kw_only=True):
    """The root of the jobs on a layer that is being made, which has no chain ID yet."""

    transaction: str
    cache_id: str

    def summary(self) -> str:
        """Return the cache ID."""
        return self.cache_id[:12]


class DriverLayerJob(Job, frozen=True, kw_only=True):
    """The root of the jobs on a layer of either kind, as the driver knows it."""

    layer_id: str

    def summary(self) -> str:
        """Return the layer's ID."""
        return self.layer_id[:12]


class AppliedLayer(Struct, frozen=True, kw_only=True):
    """The outcome of ApplyLayer, whose transaction waits to be committed; sizes in bytes."""

    diff_id: Annotated[DiffID, Meta(pattern=f"^{DIGEST}")]
    size: Count
    tar_size: Count


class CreateLayer(UncommittedJob, frozen=True, kw_only=True):
    """Begin a transaction and make the driver's layer for it, empty; for an ApplyLayer to come."""

    parent_cache_id: str | None
    """What it is made on must be there, but not be filled yet."""


class ApplyLayer(UncommittedJob, frozen=True, kw_only=True):
    """Unpack a tar into a new driver layer and write its metadata into a new transaction."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = AppliedLayer

    parent_cache_id: str | None
    parent: ChainID | None
    descriptor: str | None
    """JSON of the OCI descriptor, stored as it is."""
    source: TarSource
    created: bool = False
    """Layer and transaction were made by CreateLayer."""
    gated: bool = False
    """The last descriptor becomes readable once the lower layers are complete."""


class CommitLayer(LayerJob, frozen=True, kw_only=True):
    """Rename a transaction to its chain ID: from then on the layer exists."""

    follows: ClassVar[bool] = True

    transaction: str


class DiscardLayer(UncommittedJob, frozen=True, kw_only=True):
    """Throw away what ApplyLayer made, wholly or in part."""

    follows: ClassVar[bool] = True


class RemoveLayer(LayerJob, frozen=True, kw_only=True):
    """Move one layer's metadata and driver directory into the trash."""

    follows: ClassVar[bool] = True

    cache_id: str


class StreamLayer(LayerJob, frozen=True, kw_only=True):
    """Write the tar that was registered to the job's descriptor, checked against its diff ID."""

    heavy: ClassVar[bool] = True

    cache_id: str
    diff_id: DiffID


class StreamDifference(DriverLayerJob, frozen=True, kw_only=True):
    """Write the driver's diff of one layer against another to the job's descriptor."""

    heavy: ClassVar[bool] = True

    parent_id: str | None
    style: TarStyle = PLAIN

    @property
    def about(self) -> tuple[str, ...]:
        """See Job."""
        return (self.layer_id,)


class DriverMetadata(DriverLayerJob, frozen=True, kw_only=True):
    """The driver's own facts of one layer, as a dictionary of strings."""
