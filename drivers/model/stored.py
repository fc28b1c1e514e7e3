"""What the metadata of layers and mounts says, as plain data to fill the registries from."""

from __future__ import annotations

from msgspec import Struct

from layerstore.drivers.model.ids import ChainID, DiffID


class StoredLayer(Struct, frozen=True, kw_only=True, gc=False):
    """What the metadata of one read-only layer says; `size` is its own diff's, in bytes."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    cache_id: str
    size: int
    descriptor: str | None


class StoredMount(Struct, frozen=True, kw_only=True, gc=False):
    """What the metadata of one read-write layer says."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
    id_map: str = ""
    """The map of its user IDs, which the driver keeps; empty where they are this machine's."""
