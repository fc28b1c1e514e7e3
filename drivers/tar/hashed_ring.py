"""Large buffers in a ring, whose contents a thread of its own hashes while others work on them.

Owns the buffers and the running sha256 (hashing releases the GIL). What is in them it doesn't know.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
from queue import SimpleQueue

BUFFER = 1 << 20
"""Bytes of one buffer."""


class HashedRing:
    """At most so many buffers, made when they are first wanted, and used in turns."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._taken = memoryview(b"")
        self._to_hash: SimpleQueue[tuple[memoryview, memoryview] | None] = SimpleQueue()
        """What is to be hashed, and the buffer that it is in; nothing ends the thread."""
        self._hashed: SimpleQueue[memoryview] = SimpleQueue()
        """Buffers, in the order in which they were hashed, which is that of the ring."""
        self._hash = hashlib.sha256()
        self._thread: threading.Thread | None = None

    def take(self) -> memoryview:
        """Give the next buffer to be filled, once what it held is hashed."""
        if self._left:
            self._left -= 1
            # Its pages are there when they are first used, a bytearray is filled with zeros.
            self._taken = memoryview(mmap.mmap(-1, BUFFER))
        else:
            self._taken = self._hashed.get()
        return self._taken

    def hash(self, view: memoryview, *, last: bool) -> None:
        """Hash what the buffer that was taken last holds, after all before it.

        If nothing comes after it, and nothing came before, no thread is worth starting.
        """
        if last and self._thread is None:
            self._hash.update(view)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="layerstore-sha256")
            self._thread.start()
        self._to_hash.put((view, self._taken))

    def digest(self) -> str:
        """Return `sha256:<hex>` of everything, once all is hashed; nothing comes after that."""
        self.close()
        return "sha256:" + self._hash.hexdigest()

    def close(self) -> None:
        """End the thread, once all is hashed. Idempotent."""
        if self._thread is not None:
            self._to_hash.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (given := self._to_hash.get()) is not None:
            view, buffer = given
            self._hash.update(view)
            self._hashed.put(buffer)
