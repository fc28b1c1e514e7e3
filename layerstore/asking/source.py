"""What may be handed in as a tar, and how it reaches a worker.

Files, descriptors and windows of files go to the worker as they are. Any other binary stream is
read here, in the caller's thread, and pumped through a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from msgspec import Struct, structs

from layerstore.drivers.errors import CallerError, DriverError
from layerstore.drivers.work import Descriptors, OwnedDescriptor, TarSource

_CHUNK = 1 << 18
_PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031
_CONFIRMATION = b"\x01"


class Region(Struct, frozen=True):
    """A window of a file, such as one member of an uncompressed archive; sizes in bytes."""

    file: str | os.PathLike[str] | int
    """A path, or the number of an open descriptor, which is duplicated."""
    offset: int
    size: int


class Readable(Protocol):
    """Anything with the `read` of a binary file."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


File = str | os.PathLike[str] | int | Region | bytes
Source = str | os.PathLike[str] | int | Region | bytes | Readable


class Handover(Struct, frozen=True):
    """A source made ready: what to tell a worker, what to send it, what to pump meanwhile."""

    source: TarSource
    descriptors: Descriptors
    pump: Pump | None


def hand_over(source: Source, how: TarSource) -> Handover:
    """Make `source` ready; `how` says what is expected of it.

    Raises DriverError where a file can't be opened. The descriptors are the worker's to close.
    """
    if isinstance(source, Region):
        window = structs.replace(how, offset=source.offset, size=source.size)
        return Handover(window, (_opened(source.file),), None)
    if isinstance(source, str | os.PathLike | int):
        return Handover(how, (_opened(source),), None)
    if isinstance(source, bytes | bytearray | memoryview):
        return _pumped(_Bytes(source), how)
    if not callable(getattr(source, "read", None)):
        raise TypeError(f"a tar comes from a path, a descriptor or a binary file, not {source!r}")
    window_of_file = _regular_window(source)
    if window_of_file is not None:
        return hand_over(window_of_file, how)
    return _pumped(source, how)


def _opened(file: str | os.PathLike[str] | int) -> OwnedDescriptor:
    try:
        if isinstance(file, int):
            return OwnedDescriptor(os.dup(file))
        opened = OwnedDescriptor(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
        if stat.S_ISDIR(os.fstat(opened.fileno()).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return opened
    except OSError as error:
        raise DriverError.from_os_error("open", str(file), error) from error


@contextlib.contextmanager
def in_file(source: Source) -> Iterator[Source]:
    """Have bytes in a file in memory, which a worker can read by itself, while they're handed in.

    Any other source is yielded as it is.
    """
    if not isinstance(source, bytes | bytearray | memoryview):
        yield source
        return
    with in_memory(source) as region:
        yield region


@contextlib.contextmanager
def in_memory(content: bytes | bytearray | memoryview) -> Iterator[Region]:
    """Give bytes as a window of a file in memory, for a `with` block. Raises DriverError."""
    try:
        fd = os.memfd_create("layerstore", os.MFD_CLOEXEC)
    except OSError as error:
        raise DriverError.from_os_error("make", "a file in memory", error) from error
    with os.fdopen(fd, "wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        yield Region(fd, 0, len(content))


def _regular_window(source: Any) -> Region | None:
    """Return what is left of a buffered regular file, which a worker can read by itself."""
    if type(source).__module__ != "_io":
        return None
    try:
        fd = source.fileno()
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        position = source.tell()
    except OSError:
        return None  # in memory, or not seekable: it is pumped
    return Region(fd, position, max(status.st_size - position, 0))


def make_pipe() -> tuple[int, int]:
    """Make a roomy pipe and return its read end and its write end."""
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        raise DriverError.from_os_error("make", "a pipe", error) from error
    with contextlib.suppress(PermissionError):  # past the user's limit the usual size does
        fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_SIZE)
    return reader, writer


def _pumped(source: Readable, how: TarSource) -> Handover:
    reader, writer = make_pipe()
    try:
        confirmed, confirmer = make_pipe()
    except DriverError:
        os.close(reader)
        os.close(writer)
        raise
    descriptors = (OwnedDescriptor(reader), OwnedDescriptor(confirmed))
    pump = Pump(source, OwnedDescriptor(writer), OwnedDescriptor(confirmer))
    return Handover(structs.replace(how, confirmed=True), descriptors, pump)


class _Bytes:
    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self._left = memoryview(content)

    def read(self, size: int, /) -> bytes:
        chunk, self._left = self._left[:size], self._left[size:]
        return bytes(chunk)


class Pump:
    """Copies a stream into a worker's pipe and confirms it once all of it is there."""

    def __init__(
        self, source: Readable, writer: OwnedDescriptor, confirmer: OwnedDescriptor
    ) -> None:
        self._source = source
        self._writer = writer
        self._confirmer = confirmer

    def run(self, seconds_left: Callable[[], float | None]) -> None:
        """Copy until the stream ends, the worker closes its end, or no time is left.

        Raises CallerError with the stream's own exception as its cause. Without the confirmation
        that only a whole stream gets, the worker undoes what it has done.
        """
        os.set_blocking(self._writer.fileno(), False)
        try:
            whole = self._copy(seconds_left)
            self._writer.close()
            if whole:
                with contextlib.suppress(BrokenPipeError):  # the worker's answer says why
                    os.write(self._confirmer.fileno(), _CONFIRMATION)
        finally:
            self.close()

    def close(self) -> None:
        """Close both pipes. Idempotent."""
        self._writer.close()
        self._confirmer.close()

    def _copy(self, seconds_left: Callable[[], float | None]) -> bool:
        while True:
            try:
                chunk = self._source.read(_CHUNK)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise CallerError("reading the tar's source", reason) from error
            if not chunk:
                return True
            if not self._write(memoryview(chunk), seconds_left):
                return False

    def _write(self, chunk: memoryview, seconds_left: Callable[[], float | None]) -> bool:
        poll = select.poll()
        poll.register(self._writer.fileno(), select.POLLOUT)
        while chunk:
            try:
                chunk = chunk[os.write(self._writer.fileno(), chunk) :]
            except BlockingIOError:
                left = seconds_left()
                if not poll.poll(None if left is None else left * 1000):
                    return False
            except BrokenPipeError:
                return False
        return True
