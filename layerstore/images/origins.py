"""Which image each read-write layer was made from, which are made from an image, and when.

Owns the questions, and the making; the records are `drivers/records/containers`' and `last_use`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict, Unpack

from layerstore.actors import messages as m
from layerstore.drivers.errors import LayerDoesNotExist, MountDoesNotExist
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.times import now
from layerstore.drivers.records.containers import ContainerRecord, ContainerRecords
from layerstore.drivers.records.last_use import LastUse
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import Init
from layerstore.images.image import Image
from layerstore.operations.blocking import BlockingStore, RWLayer


class LayerOptions(TypedDict, total=False):
    """What a read-write layer is made with; see LayerStore.create_rw_layer."""

    mount_label: str
    storage_opt: Mapping[str, str] | None
    init: Init | None
    id_map: str | IdMap | None


class Origins:
    """The origins of a store's read-write layers."""

    __slots__ = ("_core", "_records", "_store")

    def __init__(self, store: BlockingStore) -> None:
        self._store = store
        self._core = store.core
        self._records = ContainerRecords(self._core.root, durable=self._core.durable)

    def create(
        self, name: str, found: Image, called: str, **options: Unpack[LayerOptions]
    ) -> RWLayer:
        """Make a read-write layer on an image, which is `called` so in its record.

        Raises as `Making.create` does, once the image is found.
        """
        if found.missing is not None:
            raise LayerDoesNotExist(found.missing)
        rw = self._store.create_rw_layer(name, found.chain_id, **options)
        try:
            self.record(rw, ContainerRecord(image_id=found.id, image=called, created=now()))
        except BaseException:
            rw.release()
            raise
        return rw

    def record(self, rw: RWLayer, record: ContainerRecord) -> None:
        """Record what a read-write layer was made from, on the disk and in the books."""
        self._records.write(rw.mount_id, record)
        image_id = ImageID(record.image_id)
        note = m.NoteOrigin(name=rw.name, reference=rw.reference, image_id=image_id)
        self._core.call(self._core.actors.mounts, note)
        self._uses().note(image_id)

    def used(self, image: Image) -> Image:
        """Take note that an image is used; returns it."""
        self._uses().note(ImageID(image.id))
        return image

    def last_used(self, image: Image) -> float:
        """Return when an image was used last, or came, in seconds since the epoch."""
        return self._uses().when(ImageID(image.id))

    def all_used(self, mounts: Iterable[m.MountMetadata]) -> set[str]:
        """Return the IDs of the images that read-write layers were made from."""
        found = (self._likeliest(mount.image, mount.parent) for mount in mounts)
        return {image.id for image in found if image is not None}

    def _uses(self) -> LastUse:
        return LastUse(self._core.root, self._core.config.driver)

    def recorded(self, mount_id: str) -> ContainerRecord | None:
        """Return what is recorded of a read-write layer."""
        return self._records.read(mount_id)

    def image_of(self, mount_id: str, parent: str | None) -> Image | None:
        """Return the recorded image, or where it is unknown or gone one whose top is `parent`."""
        try:
            known = self._core.call(self._core.actors.mounts, m.FindMount(start=mount_id)).image
        except MountDoesNotExist:
            known = None
        return self._likeliest(known, ChainID(parent) if parent is not None else None)

    def users_of(self, image: Image) -> Sequence[str]:
        """Return the names of the read-write layers that were made from an image.

        Those that nothing is recorded of count for the image that `image_of` gives.
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


class Making(ABC):
    """The part of ImageStore that makes read-write layers of images, and knows of which."""

    __slots__ = ()

    _store: BlockingStore
    _origins: Origins

    @abstractmethod
    def get(self, name: str) -> Image:
        """See ImageStore."""

    def create(
        self,
        name: str,
        image: str,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
        id_map: str | IdMap | None = None,
    ) -> RWLayer:
        """Make a read-write layer on an image, and record which; see LayerStore.create_rw_layer.

        Raises ImageDoesNotExist, LayerDoesNotExist for a broken image, and what that raises.
        """
        return self._origins.create(
            name,
            self.get(image),
            image,
            mount_label=mount_label,
            storage_opt=storage_opt,
            init=init,
            id_map=id_map,
        )

    def record_of(self, mount_id: str) -> ContainerRecord | None:
        """Return what was recorded when a read-write layer was made from an image."""
        return self._origins.recorded(mount_id)

    def image_of(self, mount_id: str, parent: str | None) -> Image | None:
        """Return the image that a read-write layer was made from.

        Where that isn't recorded, or the image is gone, it is one whose top layer is `parent`.
        """
        return self._origins.image_of(mount_id, parent)
