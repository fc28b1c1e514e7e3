"""Which image each read-write layer was made from, and which are made from an image.

Owns the question; the records are `drivers/records/containers`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        self._records = ContainerRecords(self._core.disk.root, durable=self._core.disk.durable)

    def record(self, rw: RWLayer, record: ContainerRecord) -> None:
        """Record what a read-write layer was made from."""
        self._records.write(rw.mount_id, record)

    def recorded(self, mount_id: str) -> ContainerRecord | None:
        """Return what is recorded of a read-write layer."""
        return self._records.read(mount_id)

    def image_of(self, mount_id: str, parent: str | None) -> Image | None:
        """Return the recorded image, or where it is unknown or gone one whose top is `parent`."""
        return self._likeliest(self._recorded_image(mount_id), parent)

    def users_of(self, image: Image) -> Iterator[str]:
        """Yield the names of the read-write layers made from an image: all are on its top layer."""
        made_from: dict[ImageID | None, bool] = {}
        on_layer: Sequence[m.MountMetadata]
        on_layer = self._core.call(self._core.actors.mounts, m.MountsOn(chain_id=image.chain_id))
        for mount in on_layer:
            recorded = self._recorded_image(mount.mount_id)
            if recorded not in made_from:
                found = self._likeliest(recorded, mount.parent)
                made_from[recorded] = found is not None and found.id == image.id
            if made_from[recorded]:
                yield mount.name

    def _recorded_image(self, mount_id: str) -> ImageID | None:
        record = self.recorded(mount_id)
        return ImageID(record.image_id) if record is not None else None

    def _likeliest(self, recorded: ImageID | None, parent: str | None) -> Image | None:
        chain = ChainID(parent) if parent is not None else None
        message = m.FindOrigin(image_id=recorded, chain_id=chain)
        found: m.ImageMetadata | None = self._core.call(self._core.actors.images, message)
        return Image(found) if found is not None else None
