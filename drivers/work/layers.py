"""The jobs on read-only layers, and those that do with layers of either kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.drivers.model.tree import PLAIN, TarStyle
from layerstore.drivers.work.descriptors import TarSource
from layerstore.drivers.work.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerJob(Job):
    """The root of the jobs on one layer that the metadata knows."""

    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class UncommittedJob(Job):
    """The root of the jobs on a layer that is being made, which has no chain ID yet."""

    transaction: str
    cache_id: str

    def summary(self) -> str:
        """Return the cache ID."""
        return self.cache_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverLayerJob(Job):
    """The root of the jobs on a layer of either kind, as the driver knows it."""

    layer_id: str

    def summary(self) -> str:
        """Return the layer's ID."""
        return self.layer_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedLayer:
    """The outcome of ApplyLayer, whose transaction waits to be committed; sizes in bytes."""

    diff_id: DiffID
    size: int
    tar_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyLayer(UncommittedJob):
    """Unpack a tar into a new driver layer and write its metadata into a new transaction."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = AppliedLayer

    parent_cache_id: str | None
    parent: ChainID | None
    descriptor: str | None
    """JSON of the OCI descriptor, stored as it is."""
    source: TarSource


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLayer(LayerJob):
    """Rename a transaction to its chain ID: from then on the layer exists."""

    follows: ClassVar[bool] = True

    transaction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardLayer(UncommittedJob):
    """Throw away what ApplyLayer made, wholly or in part."""

    follows: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveLayer(LayerJob):
    """Move one layer's metadata and driver directory into the trash."""

    follows: ClassVar[bool] = True

    cache_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLayer(LayerJob):
    """Write the tar that was registered to the job's descriptor, checked against its diff ID."""

    heavy: ClassVar[bool] = True

    cache_id: str
    diff_id: DiffID


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDifference(DriverLayerJob):
    """Write the driver's diff of one layer against another to the job's descriptor."""

    heavy: ClassVar[bool] = True

    parent_id: str | None
    style: TarStyle = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverMetadata(DriverLayerJob):
    """The driver's own facts of one layer, as a dictionary of strings."""
