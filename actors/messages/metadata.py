"""What layers, mounts and images look like from outside.

Owns the facts that answers bring; sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.drivers.model.image_config import ImageFacts, ImageID


class LayerMetadata(Struct, frozen=True, kw_only=True):
    """Facts of one read-only layer; sizes in bytes. moby: layer.Metadata and Layer."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    size: int
    """Of the layer and all its parents."""
    diff_size: int
    """Of the layer alone."""
    cache_id: str
    """The graph driver's ID of the layer."""
    descriptor: str | None
    """JSON of the descriptor that it was registered with."""
    depth: int
    """Layers in its chain, itself included."""
    references: int = 0
    """Everything that keeps the layer: retained references, child layers and mounts."""

    def for_journal(self) -> Mapping[str, Any]:
        """Return the IDs by which later requests name it."""
        return {"chain_id": self.chain_id, "diff_id": self.diff_id}


class MountMetadata(Struct, frozen=True, kw_only=True):
    """Facts of one read-write layer."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
    references: int
    """References that the callers of this store hold."""
    mount_count: int
    path: str | None
    """Where it is mounted, if it is."""
    state: str
    id_map: str = ""
    """Which users of this machine its own are, as IdMap has it; empty where they are the same."""
    image: ImageID | None = None
    """The image it was made from, where layerstore or dockerd has recorded that."""

    def for_journal(self) -> Mapping[str, Any]:
        """Return the IDs by which later requests name it."""
        return {"mount_id": self.mount_id}


class ImageMetadata(Struct, frozen=True, kw_only=True):
    """Facts of one image."""

    facts: ImageFacts
    names: tuple[str, ...]
    """Full references, ordered."""
    parent: ImageID | None
    """The image it was made from, where that is recorded."""
    size: int
    """Bytes of all its layers."""
    missing: ChainID | None
    """Chain ID of its top layer where that is not in the store, so that it can't be used."""
    annotations: tuple[Annotations, ...] = ()
    """Those by which layouts call it what is no name here."""

    def for_journal(self) -> Mapping[str, Any]:
        """Return the IDs by which later requests name it."""
        return {"image_id": self.facts.image_id}


class MountsByOrigin(Struct, frozen=True, kw_only=True):
    """Names of read-write layers, ordered, by what is known of where they are from."""

    noted: list[str]
    """Made from the image."""
    unnoted: list[str]
    """On the image's top layer, if it has one, and made from nobody knows what."""


class RemovedImage(Struct, frozen=True, kw_only=True):
    """What a RemoveImage took away."""

    untagged: tuple[str, ...]
    deleted: ImageID | None
    layers: tuple[LayerMetadata, ...]
    """The layers that went with it, top first."""
    parents: tuple[ImageID, ...] = ()
    """Nameless images that it was made from and that went with it, nearest first."""
