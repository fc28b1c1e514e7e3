"""Writing small files so that a reader, or a crash, sees the old content or the new, never a part.

Owns the order of write, fsync and rename. It knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.syscalls import syncfs

_log = logging.getLogger("layerstore")
TEMPORARY = re.compile(r".+\.[0-9a-f]{16}\.tmp\Z", re.DOTALL)
"""What temporary_beside names."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_UNWRITTEN = re.compile(rb"^(?:Dirty|Writeback): +(\d+) kB$", re.MULTILINE)


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

    To journals a rename is one step, so that the old name goes with it. Raises DriverError, after
    which everything is where it was.
    """
    _rename(source, target)
    if not durable:
        return
    try:
        sync_directory(os.path.dirname(target))
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
    try:
        create(path, data, durable=durable, mode=mode)
    except OSError as error:
        raise DriverError.from_os_error("write", path, error) from error


def create(
    path: str,
    data: bytes,
    *,
    durable: bool = False,
    mode: int,
    directory: int | None = None,
    dress: Callable[[int], None] | None = None,
) -> None:
    """Do as write_new, relative to an open directory where one is given. Raises OSError.

    `dress` gets the descriptor to set what else the file has, whatever its name leads to by then.
    """
    fd = os.open(path, _NEW, mode, dir_fd=directory)
    try:
        left = data
        while left:
            left = left[os.write(fd, left) :]
        if dress is not None:
            dress(fd)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Put a directory's entries on the disk."""
    _sync(path, os.O_DIRECTORY)


def sync_all(paths: Iterable[str]) -> None:
    """Put the content of files that were just made, and the entries of directories, on the disk."""
    for path in paths:
        _sync(path, os.O_NOFOLLOW)


def _sync(path: str, flags: int) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DriverError.from_os_error("fsync", path, error) from error


def sync_all_beside(fd: int, path: str) -> None:
    """Put everything on the disk that is written on the file system of an open file.

    What the kernel has failed to write since that was opened is an error, whoever else was told of
    it meanwhile (syncfs(2), from Linux 5.8).
    """
    try:
        syncfs(fd)
    except OSError as error:
        raise DriverError.from_os_error("syncfs", path, error) from error


@contextlib.contextmanager
def syncing_file_system(path: str) -> Iterator[Callable[[], None]]:
    """Open a directory for a `with` block, and give what is sync_all_beside it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DriverError.from_os_error("syncfs", path, error) from error
    try:
        yield partial(sync_all_beside, fd, path)
    finally:
        os.close(fd)


def unwritten(table: str = "/proc/meminfo") -> int:
    """Return how many bytes the machine has still to write to its disks: proc(5), /proc/meminfo.

    Where that can't be known it is said to be nothing.
    """
    try:
        with open(table, "rb") as file:
            found = _UNWRITTEN.findall(file.read())
    except OSError:
        return 0
    return sum(map(int, found)) * 1024


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
