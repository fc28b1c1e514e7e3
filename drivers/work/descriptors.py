"""File descriptors that travel beside a job, and how the tar behind one is read.

Owns who closes a descriptor.
"""

from __future__ import annotations

import os
from typing import Self

from msgspec import Struct

from layerstore.drivers.errors import DriverError


class OwnedDescriptor:
    """A file descriptor with one owner at a time, closed once whoever ends up with it is done."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor's number; ValueError once it is closed."""
        if self._fd < 0:
            raise ValueError("the descriptor is closed")
        return self._fd

    def close(self) -> None:
        """Close the descriptor. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def detach(self) -> int:
        """Return the descriptor's number, for somebody else to own."""
        fd, self._fd = self._fd, -1
        return fd

    def __del__(self) -> None:
        # What was sent to an actor that has died is dropped with its mailbox.
        self.close()


Descriptors = tuple[OwnedDescriptor, ...]


class Gate:
    """What has work that was given away go on, once: an eventfd(2) that becomes readable.

    It is written to rather than closed, as a process that was forked meanwhile has copies of it.
    """

    __slots__ = ("_event",)

    def __init__(self, event: OwnedDescriptor) -> None:
        self._event = event

    @classmethod
    def make(cls) -> Self:
        """Make one that is shut. Raises DriverError."""
        try:
            return cls(OwnedDescriptor(os.eventfd(0)))
        except OSError as error:
            raise DriverError.from_os_error("make", "an eventfd", error) from error

    def to_wait_at(self) -> OwnedDescriptor:
        """Return a descriptor for whoever is to wait. Raises DriverError."""
        try:
            return OwnedDescriptor(os.dup(self._event.fileno()))
        except OSError as error:
            raise DriverError.from_os_error("duplicate", "an eventfd", error) from error

    def open(self) -> None:
        """Let everybody go on who waits at it, or will. Idempotent."""
        try:
            event = self._event.fileno()
        except ValueError:
            return
        os.eventfd_write(event, 1)
        self._event.close()


class TarSource(Struct, frozen=True, kw_only=True):
    """How to read the tar that comes as a job's first descriptor.

    `offset` and `size` in bytes choose a window of a regular file (`size` None: to the end, read in
    order). With `confirmed`, the job's second descriptor is a pipe: a byte on it says that the tar
    was handed over whole, its end without one that it wasn't.
    """

    offset: int = 0
    size: int | None = None
    inflate: bool = False
    """Recognise gzip and zstd and inflate them; otherwise the bytes are the tar itself."""
    confirmed: bool = False
    expected_digest: str | None = None
    """`sha256:<hex>` of the bytes as given, compressed or not."""
    expected_diff_id: str | None = None
    """`sha256:<hex>` of the tar."""
