"""Exporting: a whole root file system as one plain tar, as `docker export`.

Owns where the tar comes from: an image's layers, put together by a worker, or a mounted read-write
layer, read here.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from layerstore.asking.progress import Progress
from layerstore.drivers.errors import LayerDoesNotExist
from layerstore.drivers.model.tree import TarStyle
from layerstore.drivers.tar.write import write_tree
from layerstore.drivers.userns.id_map import IdMap
from layerstore.images.image import Image, sizes_of
from layerstore.images.save import ArchiveTarget, opened_target
from layerstore.operations.blocking import BlockingStore, RWLayer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_CHUNK = 1 << 20
_WHAT = "Exporting"


def export(
    store: BlockingStore,
    what: RWLayer | Image,
    target: ArchiveTarget,
    *,
    progress: Progress | None = None,
    sparse: bool = False,
) -> None:
    """Write all files of a read-write layer or an image to a path or a binary file, as one tar.

    With `sparse` files that are mostly holes are sparse members, as GNU tar writes them. A
    read-write layer is mounted meanwhile, and should be quiet. Raises LayerDoesNotExist for a
    broken image, DriverError, StorageFull, NotPermitted. After any of them a path is as it was.
    """
    if isinstance(what, RWLayer):
        total = sizes_of(store, what.parent)[1] + what.size()
    elif what.missing is not None:
        raise LayerDoesNotExist(what.missing)
    else:
        total = what.size
    with contextlib.ExitStack() as stack:
        if isinstance(target, str | os.PathLike):
            target = stack.enter_context(opened_target(store, target))
        out = _Watched(target, total, progress)
        if isinstance(what, RWLayer):
            _write_mounted(what, out, sparse=sparse)
        else:
            _write_image(store, what, out, sparse=sparse)


def _write_mounted(rw: RWLayer, out: _Watched, *, sparse: bool) -> None:
    with rw.mounted() as path:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_tree(
                root,
                b".",
                cast("BinaryIO", out),
                as_name=b"",
                style=TarStyle(sparse),
                id_map=IdMap.parse(rw.id_map) if rw.id_map else None,
            )
        finally:
            os.close(root)


def _write_image(store: BlockingStore, image: Image, out: _Watched, *, sparse: bool) -> None:
    if image.chain_id is None:
        out.write(bytes(2 * 512))
        return
    layer = store.get(image.chain_id)
    try:
        with layer.tar_stream_from(None, sparse) as stream:
            while chunk := stream.read(_CHUNK):
                out.write(chunk)
    finally:
        layer.release()


class _Watched(io.RawIOBase):
    """A file that is written to while somebody watches; the size of the files stands for all."""

    def __init__(self, out: IO[bytes], total: int, progress: Progress | None) -> None:
        self._out = out
        self._total = total
        self._done = 0
        self._progress = progress

    def write(self, piece: ReadableBuffer, /) -> int:
        view = memoryview(piece)
        while view:
            count = self._out.write(view)
            view = view[count:]
            self._done += count
        if self._progress is not None:
            self._progress(_WHAT, self._done, max(self._total, self._done))
        return memoryview(piece).nbytes
