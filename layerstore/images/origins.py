"""Which image each read-write layer was made from, and which are made from an image.

Owns the question; the records are `drivers/records/containers`'.
"""

from __future__ import annotations

from collections.abc import Sequence

from layerstore.actors import messages as m
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.records.containers import ContainerRecord, ContainerRecords
from layerstore.images.image import Image
from layerstore.operations.blocking import BlockingStore, RWLayer


class Origins:
    """The origins of a store's read-write layers."""

    __slots__ = ("_core", "_records")

    def __init__(self, store: BlockingStore) -> None:
        self._core = store.core
        self._records = ContainerRecords(self._core.root, durable=self._core.durable)

    def record(self, rw: RWLayer, record: ContainerRecord) -> None:
        """Record what a read-write layer was made from, on the disk and in the books."""
        self._records.write(rw.mount_id, record)
        image_id = ImageID(record.image_id)
        note = m.NoteOrigin(name=rw.name, reference=rw.reference, image_id=image_id)
        self._core.call(self._core.actors.mounts, note)

    def recorded(self, mount_id: str) -> ContainerRecord | None:
        """Return what is recorded of a read-write layer."""
        return self._records.read(mount_id)

    def image_of(self, mount_id: str, parent: str | None) -> Image | None:
        """Return the recorded image, or where it is unknown or gone one whose top is `parent`."""
        record = self.recorded(mount_id)
        recorded = ImageID(record.image_id) if record is not None else None
        return self._likeliest(recorded, ChainID(parent) if parent is not None else None)

    def users_of(self, image: Image) -> Sequence[str]:
        """Return the names of the read-write layers that were made from an image.

        Those that nothing is recorded of, as docker's, count for the image that `image_of` gives.
        """
        message = m.MountsOf(image_id=ImageID(image.id), on_layer=image.chain_id)
        found: m.MountsByOrigin = self._core.call(self._core.actors.mounts, message)
        if not found.unnoted:
            return found.noted
        likeliest = self._likeliest(None, image.chain_id)
        theirs = likeliest is not None and likeliest.id == image.id
        return sorted(found.noted + found.unnoted) if theirs else found.noted

    def _likeliest(self, recorded: ImageID | None, chain: ChainID | None) -> Image | None:
        message = m.FindOrigin(recorded_image=recorded, on_layer=chain)
        found: m.ImageMetadata | None = self._core.call(self._core.actors.images, message)
        return Image(found) if found is not None else None
