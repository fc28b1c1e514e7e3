"""The part of ImageStore that removes what nobody needs.

Owns the choice: never what read-write layers are made from, and by age what hasn't been used for
longest goes first. docker: image prune; BuildKit: prune with keep-storage.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from layerstore.actors import messages as m
from layerstore.drivers.errors import ImageDoesNotExist, ImageInUse
from layerstore.images.image import Image
from layerstore.operations.blocking import BlockingStore

if TYPE_CHECKING:
    from layerstore.drivers.model.ids import ChainID
    from layerstore.images.origins import Origins


class Pruning(ABC):
    """What images have to do with being needed."""

    __slots__ = ()

    _store: BlockingStore
    _origins: Origins

    @abstractmethod
    def list(self) -> list[Image]:
        """See ImageStore."""

    @abstractmethod
    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> m.RemovedImage:
        """See ImageStore."""

    def prune(
        self, *, every: bool = False, unused_for: float = 0.0, keep_bytes: int | None = None
    ) -> tuple[m.RemovedImage, ...]:
        """Remove images that no read-write layer is made from, and return what went.

        Without `every` only those without a name. Those that were used (made, loaded, pulled, or
        made a read-write layer from) within `unused_for` seconds stay. With `keep_bytes` only so
        many go, those first that weren't used for longest, that all layers together take no more
        than that, as their sizes are counted. One that others are made from goes after them.

        Raises InvalidMetadata, DriverError; those before it are gone.
        """
        gone: list[m.RemovedImage] = []
        latest = time.time() - unused_for
        while True:
            removed = None
            for image in self._unneeded(every=every):
                if self.last_used(image) > latest or self._takes(keep_bytes):
                    break  # nor may those that were used later
                # Another may be made from it, or it went with another already.
                with contextlib.suppress(ImageInUse, ImageDoesNotExist):
                    removed = self.remove(image.id, force=True)
                    gone.append(removed)
            if removed is None:
                return tuple(gone)

    def last_used(self, image: Image) -> float:
        """Return when an image was used last, in seconds since the epoch; or else when it came."""
        return self._origins.last_used(image)

    def _unneeded(self, *, every: bool) -> Iterator[Image]:
        """Give the images that may go, those that weren't used for longest first."""
        images = [image for image in self.list() if every or not image.names]
        tops = {image.chain_id for image in images}
        # Whoever was made from one of them is on its layer: no others' records are read.
        near = [mount for mount in self._store.mounts() if mount.parent in tops] if images else []
        used = self._origins.all_used(near)
        left = [image for image in images if image.id not in used]
        yield from sorted(left, key=lambda image: (self.last_used(image), image.id))

    def _takes(self, keep_bytes: int | None) -> bool:
        """Whether what is there takes no more than is to be kept; None: as little as can be."""
        if keep_bytes is None:
            return False
        layers: Mapping[ChainID, m.LayerMetadata] = self._store.map()
        return sum(layer.diff_size for layer in layers.values()) <= keep_bytes
