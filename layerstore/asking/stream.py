"""Tar streams that come out of the store.

Owns the read end of a pipe that a worker's child writes to. Whether the tar was whole and right is
known only at its end, so the last read raises where it wasn't.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from layerstore.actors.runtime.calls import Call
from layerstore.drivers.work import OwnedDescriptor

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TarStream(io.RawIOBase):
    """A readable binary stream of one uncompressed tar; close it when it isn't read to its end.

    Reading at the end raises what went wrong: IntegrityError where the layer's files are no longer
    those that were registered, WorkerDied, DriverError.
    """

    def __init__(self, call: Call, reader: OwnedDescriptor) -> None:
        self._call = call
        self._reader = reader
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the pipe's descriptor, for select and poll.

        Whoever reads from it directly should still call `verify` in the end.
        """
        return self._reader.fileno()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes, none at a verified end; all that is left below 0."""
        if size is None or size < 0:
            return self.readall()
        self._check_open()
        if self._ended:
            return b""
        # The kernel's copy is the only one, which that of RawIOBase isn't.
        piece = os.read(self._reader.fileno(), size)
        if size and not piece:
            self.verify()
        return piece

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into the buffer and return the number of bytes, 0 at a verified end."""
        self._check_open()
        if self._ended:
            return 0
        count = os.readv(self._reader.fileno(), [buffer])
        if not count and memoryview(buffer).nbytes:
            self.verify()
        return count

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the stream is closed")

    def verify(self) -> None:
        """Wait for the worker's verdict on what it has written; raises as reading at the end."""
        self._call.result()
        self._ended = True

    def close(self) -> None:
        """Stop reading; a worker that still writes ends its job. Idempotent."""
        self._reader.close()
        super().close()
