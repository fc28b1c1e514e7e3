"""Writing a stream in large pieces while a thread of its own hashes them.

Owns the buffers and the running sha256. It knows nothing of what is written.
"""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, Self

from layerstore.drivers.system.large_buffer import large_buffer

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer

_BUFFER = 1 << 20
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
        self._hash = hashlib.sha256()
        self._pool: ThreadPoolExecutor | None = None
        self._ring = [large_buffer(_BUFFER)]
        self._hashing: list[Future[None] | None] = [None] * _BUFFERS
        self._current = 0
        self._filled = 0

    def write(self, data: bytes) -> None:
        """Add bytes."""
        end = self._filled + len(data)
        if end <= _BUFFER:
            self._ring[self._current][self._filled : end] = data
            self._filled = end
            return
        view = memoryview(data)
        while view:
            room = min(_BUFFER - self._filled, len(view))
            self._ring[self._current][self._filled : self._filled + room] = view[:room]
            self._filled += room
            view = view[room:]
            if view:
                self._flush()

    def read_from(self, fd: int, most: int) -> memoryview:
        """Add what one read of a descriptor gives, at most `most` bytes, and show it.

        The view is valid until the next call; empty at the descriptor's end.
        """
        if self._filled == _BUFFER:
            self._flush()
        start = self._filled
        room = self._ring[self._current][start : start + most]
        count = os.readv(fd, [room])
        self._filled += count
        return room[:count]

    def finish(self) -> str:
        """Write what is left and return `sha256:<hex>` of everything."""
        last = self._ring[self._current][: self._filled]
        self._wait()
        self._hash.update(last)
        self._write_out(last)
        return "sha256:" + self._hash.hexdigest()

    def _flush(self) -> None:
        full = self._ring[self._current]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="layerstore-sha256")
        self._hashing[self._current] = self._pool.submit(self._hash.update, full)
        self._write_out(full)
        self._current = (self._current + 1) % _BUFFERS
        self._filled = 0
        if self._current == len(self._ring):
            self._ring.append(large_buffer(_BUFFER))
        waiting = self._hashing[self._current]
        if waiting is not None:
            waiting.result()

    def _write_out(self, view: memoryview) -> None:
        while view:
            view = view[self._out.write(view) :]

    def _wait(self) -> None:
        for future in self._hashing:
            if future is not None:
                future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
