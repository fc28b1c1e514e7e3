"""Large buffers in a ring, whose contents a thread of its own hashes while others work on them.

Owns the buffers and the running sha256 (hashing releases the GIL). What is in them it doesn't know.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

from layerstore.drivers.system.large_buffer import large_buffer

BUFFER = 1 << 20
"""Bytes of one buffer."""


class HashedRing:
    """At most so many buffers, made when they are first wanted, and used in turns."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffers: list[memoryview] = []
        self._hashing: list[Future[None] | None] = []
        self._at = -1
        self._hash = hashlib.sha256()
        self._pool: ThreadPoolExecutor | None = None

    def take(self) -> memoryview:
        """Give the next buffer to be filled, once what it held is hashed."""
        self._at = (self._at + 1) % self._most
        if self._at == len(self._buffers):
            self._buffers.append(large_buffer(BUFFER))
            self._hashing.append(None)
        waiting = self._hashing[self._at]
        if waiting is not None:
            waiting.result()
        return self._buffers[self._at]

    def hash(self, view: memoryview, *, last: bool) -> None:
        """Hash what the buffer that was taken last holds, after all before it.

        If nothing comes after it, and nothing came before, no thread is worth starting.
        """
        if last and self._pool is None:
            self._hash.update(view)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="layerstore-sha256")
        self._hashing[self._at] = self._pool.submit(self._hash.update, view)

    def digest(self) -> str:
        """Return `sha256:<hex>` of everything, once all is hashed."""
        for future in self._hashing:
            if future is not None:
                future.result()
        return "sha256:" + self._hash.hexdigest()

    def close(self) -> None:
        """End the thread. Idempotent."""
        if self._pool is not None:
            self._pool.shutdown()
