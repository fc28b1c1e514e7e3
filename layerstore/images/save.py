"""Saving images: the store's layers and configurations become one archive.

Owns where it is written: beside its target until it is whole, or in a nameless file of the store's
where the target is a stream, so that nobody ever sees a part.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, cast

from layerstore.archive.engines.targets import (
    added_to_layout,
    as_called,
    written_flat,
    written_to_daemon,
)
from layerstore.archive.engines.transport import Given, given_transport
from layerstore.archive.open import copy_whole, spool_directory
from layerstore.archive.whole_file import is_stream, written_beside
from layerstore.archive.write import ImageWriter, SavedImage, Tar, tar_written
from layerstore.asking.progress import Progress
from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.ids import ChainID, DiffID, hex_of
from layerstore.operations.blocking import BlockingStore

ArchiveTarget = str | os.PathLike[str] | IO[bytes]


def save_images(
    store: BlockingStore,
    images: Iterable[SavedImage],
    target: ArchiveTarget,
    progress: Progress | None,
) -> None:
    """Write the images to a path, a binary file or what a text with a transport says.

    Raises InvalidArgument, EngineError where a daemon doesn't take them, IntegrityError where a
    layer's files are no longer those that were registered, LayerDoesNotExist, DriverError,
    StorageFull. After any of them a path is as it was.
    """
    given = given_transport(target)
    called = as_called(given, list(images)) if given is not None else images
    with _opened_writer(store, target, given) as writer:
        for image in called:
            for chain, diff in zip(image.facts.chain_ids(), image.facts.diff_ids, strict=True):
                if not writer.has(diff):
                    _add_layer(store, writer, chain, diff, progress)
            writer.add_image(image)


@contextlib.contextmanager
def _opened_writer(
    store: BlockingStore, target: ArchiveTarget, given: Given | None
) -> Iterator[ImageWriter]:
    """Give what writes images; they get to the target if the block ends well."""
    with contextlib.ExitStack() as stack:
        if given is not None and given.transport == "docker-daemon":
            opened = written_to_daemon(spool_directory(store.core.root))
        elif given is not None and given.transport == "oci":
            opened = added_to_layout(given)
        elif given is not None and given.transport == "dir":
            opened = written_flat(given)
        else:
            path = given.path if given is not None else target
            opened = tar_written(stack.enter_context(opened_target(store, path)))
        yield stack.enter_context(opened)


def _add_layer(
    store: BlockingStore,
    writer: ImageWriter,
    chain: ChainID,
    diff: DiffID,
    progress: Progress | None,
) -> None:
    layer = store.get(chain)
    try:
        with layer.tar_stream() as stream:
            tar: Tar = stream
            if progress is not None:
                tar = _Watched(stream, hex_of(diff)[:12], layer.diff_size, progress)
            writer.add_layer(diff, tar, layer.descriptor)
    finally:
        layer.release()


class _Watched:
    """A layer's tar while somebody watches; the size of its files stands for its own."""

    def __init__(self, tar: Tar, what: str, size: int, progress: Progress) -> None:
        self._tar = tar
        self._what = what
        self._size = size
        self._done = 0
        self._progress = progress

    def read(self, size: int, /) -> bytes | None:
        chunk = self._tar.read(size)
        self._done += len(chunk or b"")
        self._progress(self._what, self._done, max(self._size, self._done))
        return chunk


@contextlib.contextmanager
def opened_target(store: BlockingStore, target: ArchiveTarget) -> Iterator[IO[bytes]]:
    """Give a file that can seek; what is in it gets to the target if the block ends well."""
    try:
        if not isinstance(target, str | os.PathLike):
            with _spooled(store, target) as out:
                yield out
        elif is_stream(target):
            with open(target, "wb") as stream, _spooled(store, stream) as out:
                yield out
        else:
            with written_beside(os.fspath(target)) as out:
                yield out
    except OSError as error:
        named = target if isinstance(target, str | os.PathLike) else "the archive"
        raise DriverError.from_os_error("write", str(named), error) from error


@contextlib.contextmanager
def _spooled(store: BlockingStore, target: IO[bytes]) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile(dir=spool_directory(store.core.root)) as raw:
        out = cast("IO[bytes]", raw)
        yield out
        copy_whole(out, target)
        target.flush()
