"""Writing a stream in large pieces, hashed meanwhile.

Owns how the buffers are filled and written out. It knows nothing of what is written.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, Self

from layerstore.drivers.tar.hashed_ring import BUFFER, HashedRing

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer

_BUFFERS = 3


class Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing, where no /dev/null is to be seen."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take everything."""
        return memoryview(data).nbytes


class HashedOut:
    """Collects bytes, from memory or from descriptors, and writes them in order."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._ring = HashedRing(_BUFFERS)
        self._buffer = self._ring.take()
        self._filled = 0

    def write(self, data: bytes) -> None:
        """Add bytes."""
        end = self._filled + len(data)
        if end <= BUFFER:
            self._buffer[self._filled : end] = data
            self._filled = end
            return
        view = memoryview(data)
        while view:
            room = min(BUFFER - self._filled, len(view))
            self._buffer[self._filled : self._filled + room] = view[:room]
            self._filled += room
            view = view[room:]
            if view:
                self._flush()

    def read_from(self, fd: int, most: int) -> memoryview:
        """Add what one read of a descriptor gives, at most `most` bytes, and show it.

        The view is valid until the next call; empty at the descriptor's end.
        """
        if self._filled == BUFFER:
            self._flush()
        start = self._filled
        room = self._buffer[start : start + most]
        count = os.readv(fd, [room])
        self._filled += count
        return room[:count]

    def finish(self) -> str:
        """Write what is left and return `sha256:<hex>` of everything."""
        last = self._buffer[: self._filled]
        self._ring.hash(last, last=True)
        self._write_out(last)
        return self._ring.digest()

    def _flush(self) -> None:
        self._ring.hash(self._buffer, last=False)
        self._write_out(self._buffer)
        self._buffer = self._ring.take()
        self._filled = 0

    def _write_out(self, view: memoryview) -> None:
        while view:
            view = view[self._out.write(view) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ring.close()
