"""Writing small files so that a reader, or a crash, sees the old content or the new, never a part.

Owns the order of write, fsync and rename. It knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.syscalls import syncfs

_log = logging.getLogger("layerstore")
TEMPORARY = re.compile(r".+\.[0-9a-f]{16}\.tmp\Z", re.DOTALL)
"""What temporary_beside names."""


def remove_temporaries(directory: str) -> None:
    """Remove what temporary_beside named and a process that was killed has left. Raises OSError."""
    for name in os.listdir(directory):
        if TEMPORARY.match(name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{directory}/{name}")


def temporary_beside(path: str) -> str:
    """Return a new name for a file that goes when the place is prepared again."""
    return f"{path}.{os.urandom(8).hex()}.tmp"


def make_directories(path: str, *, durable: bool, mode: int = 0o700) -> None:
    """Make a directory and those above it that are missing; with `durable`, for good.

    Raises DriverError.
    """
    missing = []
    above = path
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    try:
        for directory in reversed(missing):
            os.makedirs(directory, mode=mode, exist_ok=True)
    except FileExistsError as error:
        raise DriverError("mkdir", path, errno.ENOTDIR) from error
    except OSError as error:
        raise DriverError.from_os_error("mkdir", path, error) from error
    if durable:
        for directory in reversed(missing):
            sync_directory(os.path.dirname(directory))


def move(source: str, target: str, *, durable: bool) -> None:
    """Rename; with `durable` the new name is on the disk on return.

    Raises DriverError, after which everything is where it was.
    """
    _rename(source, target)
    if not durable:
        return
    try:
        for directory in {os.path.dirname(target), os.path.dirname(source)}:
            sync_directory(directory)
    except DriverError:
        _rename(target, source)
        raise


def write_file(path: str, data: bytes, *, durable: bool, mode: int = 0o600) -> None:
    """Replace a file's content by way of a temporary file beside it.

    With `durable` the content and the name are on the disk on return. Raises DriverError, after
    which the old file is what it was.
    """
    temporary = temporary_beside(path)
    try:
        write_new(temporary, data, durable=durable, mode=mode)
        if durable:
            _replace(temporary, path)
        else:
            _rename(temporary, path)
    except DriverError:
        _unlink_if_there(temporary)
        raise


def _replace(temporary: str, path: str) -> None:
    """Rename durably; the old file keeps a second name until the new one is on the disk."""
    old = temporary_beside(path)
    try:
        os.link(path, old, follow_symlinks=False)
    except FileNotFoundError:
        move(temporary, path, durable=True)
        return
    except OSError as error:
        raise DriverError.from_os_error("link", path, error, f"to {old}") from error
    try:
        _rename(temporary, path)
        try:
            sync_directory(os.path.dirname(path))
        except DriverError:
            _rename(old, path)
            raise
    finally:
        _unlink_if_there(old)


def write_new(path: str, data: bytes, *, durable: bool, mode: int = 0o600) -> None:
    """Write a file that isn't there yet, in a directory that nobody reads yet.

    With `durable` the content is on the disk on return; the name is once the directory is synced.
    Raises DriverError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DriverError.from_os_error("write", path, error) from error


def sync_directory(path: str) -> None:
    """Put a directory's entries on the disk."""
    _sync(path, "fsync", os.fsync)


def sync_file_system(path: str) -> None:
    """Put everything on the disk that is written on the file system of a directory."""
    _sync(path, "syncfs", syncfs)


def _sync(path: str, operation: str, sync: Callable[[int], None]) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DriverError.from_os_error(operation, path, error) from error


def _rename(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        raise DriverError.from_os_error("rename", source, error, f"to {target}") from error


def _unlink_if_there(path: str) -> None:
    """Remove a temporary file, or leave it to the next open: what it was for is done or undone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("a temporary file stays for now: %s", error)
