"""What containers-storage keeps of its images and layers: two lists, and blobs in files.

Owns the reading of these, beneath one directory and nowhere else, and the lock under which they
hold together. Source: containers/storage, images.go, layers.go and the lock files beside the lists.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from layerstore.drivers.errors import DriverError, InvalidImage, LimitExceeded
from layerstore.drivers.model.image_config import MAX_LAYERS
from layerstore.drivers.system.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

_SAFE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO}
"""Errors about what lies there, rather than about who asks."""
_PLAIN_KEY = re.compile(r"[.0-9a-z]+\Z")
_MAX_LIST = 64 << 20
_PATIENCE = 60
"""Seconds that a writer may take."""
_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
"""A struct flock, fcntl(2)."""
T = TypeVar("T")


class StoredImage(msgspec.Struct, frozen=True):
    """One of `images.json`."""

    id: str
    names: list[str] | None = None
    layer: str = ""


class StoredLayer(
    msgspec.Struct, frozen=True, rename={"diff_id": "diff-digest", "size": "diff-size"}
):
    """One of `layers.json`."""

    id: str
    parent: str = ""
    diff_id: str = ""
    size: int = 0


class Files:
    """The files beneath a root, for one of its drivers. Nothing is followed out of the root."""

    def __init__(self, root: str) -> None:
        """Open the root. Raises DriverError."""
        self.root = root
        try:
            self._fd = os.open(root, _DIRECTORY)
        except OSError as error:
            raise DriverError.from_os_error("open", root, error) from error

    def directory(self, path: str) -> int:
        """Open a directory, whose descriptor becomes the caller's. Raises InvalidImage."""
        return self._open(path, _DIRECTORY)

    def file(self, path: str) -> int:
        """Open a regular file, whose descriptor becomes the caller's. Raises InvalidImage."""
        # First, since opening a device can have effects; then again, as it may have been replaced.
        for flags in (os.O_PATH | os.O_CLOEXEC, _FILE):
            fd = self._open(path, flags)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise InvalidImage(self.root, f"{path} is not a regular file")
            if flags != _FILE:
                os.close(fd)
        return fd

    def exists(self, path: str) -> bool:
        """Whether there is something at a path. Raises DriverError where that can't be known."""
        try:
            os.close(openat2(self._fd, path, os.O_PATH, 0, _SAFE))
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise DriverError.from_os_error("open", f"{self.root}/{path}", error) from error
        return True

    def read(self, path: str, limit: int = _MAX_LIST) -> bytes:
        """Return all of a file. Raises InvalidImage, LimitExceeded."""
        fd = self.file(path)
        with os.fdopen(fd, "rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise LimitExceeded(f"the size in bytes of {self.root}/{path}", limit)
        return content

    def listed(self, path: str, kind: type[T]) -> list[T]:
        """Return what a list holds. Raises InvalidImage, LimitExceeded."""
        try:
            return msgspec.json.decode(self.read(path), type=list[kind])  # type: ignore[valid-type]
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidImage(f"{self.root}/{path}", f"not such a list: {error}") from error

    @contextlib.contextmanager
    def shared(self, path: str) -> Iterator[None]:
        """Hold the lock of a list with other readers, against who writes, for a `with` block.

        Waits for a writer, but not for ever: raises DriverError. A store that was copied without
        its locks has no writers.
        """
        if not self.exists(path):
            yield
            return
        fd = self.file(path)
        try:
            self._lock(fd, path)
            yield
        finally:
            os.close(fd)

    def _lock(self, fd: int, path: str) -> None:
        import tenacity  # noqa: PLC0415 - it takes longer than many a command

        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((BlockingIOError, PermissionError)),
            wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.5),
            stop=tenacity.stop_after_delay(_PATIENCE),
            reraise=True,
        )
        try:
            # Of this open file rather than of the process, as threads of it may read the same.
            attempts(fcntl.fcntl, fd, fcntl.F_OFD_SETLK, _WHOLE_FILE)
        except OSError as error:
            reason = "another process is writing"
            place = f"{self.root}/{path}"
            raise DriverError.from_os_error("lock", place, error, reason) from error

    def close(self) -> None:
        """Close the root. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _open(self, path: str, flags: int) -> int:
        try:
            return openat2(self._fd, path, flags, 0, _SAFE)
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise InvalidImage(self.root, f"{path}: {error.strerror}") from error
            raise DriverError.from_os_error("open", f"{self.root}/{path}", error) from error


def blob_name(key: str) -> str:
    """Return the name of an image's file with a key, such as a digest."""
    return key if _PLAIN_KEY.match(key) else "=" + b64encode(key.encode()).decode()


def chain_to(top: str, layers: list[StoredLayer], label: str) -> list[StoredLayer]:
    """Return a layer and all that it lies on, the base first. Raises InvalidImage."""
    by_id = {layer.id: layer for layer in layers}
    chain: list[StoredLayer] = []
    wanted = top
    while wanted:
        layer = by_id.get(wanted)
        if layer is None:
            raise InvalidImage(label, f"its layer {wanted[:100]!r} isn't listed")
        if len(chain) == MAX_LAYERS:
            raise LimitExceeded(f"the number of layers of {label}", MAX_LAYERS)
        chain.append(layer)
        wanted = layer.parent
    return chain[::-1]
