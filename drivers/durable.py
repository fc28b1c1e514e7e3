"""Writing small files so that a reader, or a crash, sees the old content or the new, never a part.

Owns the order of write, fsync and rename. It knows nothing of what is written.
"""

from __future__ import annotations

import os
import secrets

from layerstore.drivers.errors import DriverError


def write_file(path: str, data: bytes, *, durable: bool, mode: int = 0o600) -> None:
    """Replace a file's content by way of a temporary file beside it.

    With `durable` the content and the name are on the disk on return. Raises DriverError, after
    which the old file is untouched and no temporary file is left.
    """
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        write_new(temporary, data, durable=durable, mode=mode)
        _rename(temporary, path)
    except DriverError:
        _unlink_if_there(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


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
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DriverError.from_os_error("fsync", path, error) from error


def _rename(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        raise DriverError.from_os_error("rename", source, error, f"to {target}") from error


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
