"""Opening and reading a file that somebody else may have put there, and what a directory holds.

Owns the safety: the last component is never followed as a symbolic link, only regular files are
opened, nothing is waited for, and never more is read than asked for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidMetadata

_NO_FILE = {errno.EINVAL, errno.ELOOP, errno.ENXIO}
"""What opening and reading say of what is no regular file."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_regular(path: str, *, directory: int | None = None) -> int:
    """Open a file, whose descriptor becomes the caller's.

    `directory` is a descriptor that `path` is relative to. Raises OSError, with EINVAL for what is
    no regular file. A device isn't even opened, since that alone can have effects.
    """
    return _open(path, directory)[0]


def _open(path: str, directory: int | None) -> tuple[int, os.stat_result]:
    found = os.stat(path, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    fd = os.open(path, _FLAGS, dir_fd=directory)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not os.path.samestat(status, found):
            raise OSError(errno.ESTALE, "it was replaced while it was opened", path)
    except OSError:
        os.close(fd)
        raise
    return fd, status


def read_small(path: str, limit: int, *, directory: int | None = None) -> bytes:
    """Return a file's first bytes, at most `limit`. Raises what open_regular does."""
    fd, status = _open(path, directory)
    try:
        content = b""
        wanted = min(status.st_size, limit)
        while len(content) < wanted and (piece := os.read(fd, wanted - len(content))):
            content += piece
        return content
    finally:
        os.close(fd)


def read_metadata(path: str, limit: int) -> bytes | None:
    """Return all of a file of at most `limit` bytes, or None where there is none.

    Raises InvalidMetadata for one that is longer and for what is no regular file, DriverError where
    it can't be read.
    """
    try:
        content = read_small(path, limit + 1)
        if len(content) <= limit:
            return content
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NO_FILE:
            raise InvalidMetadata(path, error.strerror or str(error)) from error
        raise DriverError.from_os_error("read", path, error) from error
    raise InvalidMetadata(path, f"longer than {limit} bytes")


class Place(Struct, frozen=True):
    """A directory; where it is open, paths in it are short for the kernel too: there are many."""

    path: str
    fd: int | None = None

    def at(self, name: str) -> str:
        """Return the path of a name in it, relative to `fd` where it has one."""
        return f"{self.path}/{name}" if self.fd is None else name


@contextlib.contextmanager
def opened(path: str) -> Iterator[Place]:
    """Open a directory for a `with` block. Raises DriverError."""
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DriverError.from_os_error("open", path, error) from error
    try:
        yield Place(path, fd)
    finally:
        os.close(fd)


def names_in(path: str) -> list[str]:
    """Return the names in a directory, ordered; none where it isn't there."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DriverError.from_os_error("list", path, error) from error
