"""Registering what a stream gives, which may have a verdict of its own, while somebody watches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from layerstore.drivers.errors import CallerError, LayerStoreError

if TYPE_CHECKING:
    from layerstore.asking.requests import Compression
    from layerstore.asking.source import Readable, Source
    from layerstore.operations.blocking import BlockingStore, Layer


def register(
    store: BlockingStore,
    source: Source,
    parent: str | None = None,
    *,
    compression: Compression = "none",
) -> Layer:
    """Register a layer; raises what its stream raised."""
    with verdict_of_stream():
        return store.register(source, parent, compression=compression)


@contextlib.contextmanager
def verdict_of_stream() -> Iterator[None]:
    """Raise what a stream raised in a `with` block, rather than that it could not be read."""
    try:
        yield
    except CallerError as error:
        if isinstance(error.__cause__, LayerStoreError):
            raise error.__cause__ from error
        raise


class Counted:
    """A stream whose reader is told how many bytes have been read."""

    def __init__(self, file: Readable, report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report
        self._done = 0

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        chunk = self._file.read(size)
        self._done += len(chunk)
        self._report(self._done)
        return chunk
