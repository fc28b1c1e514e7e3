"""The part of ImageStore that makes one layer of many.

Owns the new layer while the image is being made, and the words of its step of history. A chain of
layers ends at a depth (`Limits.max_layers`); a flat image has all of that before it again.
"""

# ruff: noqa: PLC0415 - who lists images flattens none

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerstore.asking.progress import Progress
from layerstore.drivers.errors import InvalidImage, LayerDoesNotExist
from layerstore.drivers.model.image_config import (
    EMPTY_LAYER,
    ImageID,
    child_config,
    without_layers,
)
from layerstore.drivers.model.reference import parse_tag
from layerstore.drivers.model.times import moment
from layerstore.images.image import Image
from layerstore.operations.blocking import BlockingStore, RWLayer

if TYPE_CHECKING:
    from layerstore.asking.source import Readable
    from layerstore.drivers.model.annotations import Annotations
    from layerstore.drivers.model.ids import DiffID

_WHAT = "Flattening"


class Flattening(ABC):
    """What images have to do with how many layers they have."""

    __slots__ = ()

    _store: BlockingStore

    @abstractmethod
    def get(self, name: str) -> Image:
        """See ImageStore."""

    @abstractmethod
    def image_of(self, mount_id: str, parent: str | None) -> Image | None:
        """See ImageStore."""

    @abstractmethod
    def _config(self, image: Image) -> bytes:
        """Return an image's configuration."""

    @abstractmethod
    def _add(
        self,
        config: bytes,
        names: Sequence[str],
        parent: ImageID | None,
        annotations: Sequence[Annotations] = (),
    ) -> Image:
        """Add an image to the books, and name it."""

    def flatten(
        self,
        image: str,
        name: str | None = None,
        *,
        created: str | None = None,
        sparse: bool = False,
        progress: Progress | None = None,
    ) -> Image:
        """Make an image of one layer that shows what all layers of an image show together.

        What else the image says is kept: environment, command, user, labels, platform; and its
        history, with one step more. The image itself stays. Equal content gives an equal layer.
        `created` is RFC 3339, by default now; `sparse` is as for `commit`. `progress` is called
        with the bytes that were read, and with those of all layers. moby: SquashImage.

        Raises InvalidName, ImageDoesNotExist, LayerDoesNotExist for a broken image, and what
        LayerStore.register raises; nothing is left then.
        """
        tags = [parse_tag(name)] if name is not None else []
        made_at = moment(created)
        found = self.get(image)
        if found.missing is not None:
            raise LayerDoesNotExist(found.missing)
        with contextlib.ExitStack() as stack:
            diff = EMPTY_LAYER
            if found.chain_id is not None:
                chain = self._store.get(found.chain_id)
                stack.callback(chain.release)
                stream = stack.enter_context(chain.tar_stream_from(None, sparse))
                diff = self._registered(stack, stream, progress, found.size)
            config = child_config(
                without_layers(self._config(found), found.id),
                diff if diff != EMPTY_LAYER else None,
                created=made_at,
                created_by="layerstore flatten",
                comment=f"create new from {found.id}",
            )
            return self._add(config, tags, parent=None)

    def flatten_rw_layer(
        self,
        rw: RWLayer,
        name: str | None = None,
        *,
        created: str | None = None,
        sparse: bool = False,
        progress: Progress | None = None,
    ) -> Image:
        """Make an image of one layer that shows what a read-write layer shows.

        As `commit` and `flatten` after it, but for files of an init layer, which are in it as in
        `docker export`'s; and it is done where the chain has no room for a commit's layer. Writers
        should be quiet meanwhile.

        Raises InvalidName, also for a file whose name is a whiteout's in a layer (`.wh.name`),
        InvalidImage where the layer has a parent but no image to go on from, and what
        LayerStore.register raises; nothing is left then.
        """
        from layerstore.images.making.commit import committed_config

        tags = [parse_tag(name)] if name is not None else []
        made_at = moment(created)
        base = self.image_of(rw.mount_id, rw.parent)
        if base is None and rw.parent is not None:
            reason = "no image in the store has the layers that it was made from"
            raise InvalidImage(f"of {rw.name}", reason)
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(rw.whole_tar_stream(sparse))
            diff = self._registered(stack, stream, progress, base.size if base is not None else 0)
            parent = without_layers(self._config(base), base.id) if base is not None else None
            config = committed_config(
                parent,
                diff if diff != EMPTY_LAYER else None,
                name=rw.name,
                created=made_at,
                author="",
                comment=f"create new from {base.id}" if base is not None else "",
            )
            return self._add(config, tags, parent=None)

    def _registered(
        self, stack: contextlib.ExitStack, stream: Readable, progress: Progress | None, size: int
    ) -> DiffID:
        """Register a tar of about `size` bytes as a base layer, retained until `stack` ends."""
        from layerstore.images.making.registering import Counted, register

        source = stream
        if progress is not None:
            report = progress
            source = Counted(stream, lambda done: report(_WHAT, done, max(done, size)))
        layer = register(self._store, source)
        stack.callback(layer.release)
        return layer.diff_id
