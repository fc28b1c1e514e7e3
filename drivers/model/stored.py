"""What the metadata of layers and mounts says, as plain data to fill the registries from."""

from __future__ import annotations

from dataclasses import dataclass

from layerstore.drivers.model.ids import ChainID, DiffID


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """What the metadata of one read-only layer says; `size` is its own diff's, in bytes."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    cache_id: str
    size: int
    descriptor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMount:
    """What the metadata of one read-write layer says."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
