"""The trash: where removed things wait, beneath the store's own directory, to be deleted.

Owns `<root>/layerstore/trash`. What lies there has no name in any metadata and is nobody's parent,
so deleting it needs no order and can be begun again after any crash.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.tree.delete import DIRECTORY, delete_entry

_FEW_INODES = 100_000
FEW_NAMES = 200
"""What is deleted before a child would be there."""
MORE_NAMES = 2_000
"""What is deleted before a process that outlives this one would be."""
_FEW_BLOCKS = 128 * 1024
"""Of 512 bytes."""


def trash_path(root: str) -> str:
    """Return the trash directory of a store root."""
    return f"{root}/layerstore/trash"


def prepare_trash(trash: str) -> None:
    """Make the trash directory if it is missing."""
    try:
        os.makedirs(trash, mode=0o700, exist_ok=True)
    except OSError as error:
        raise DriverError.from_os_error("mkdir", trash, error) from error


def sweep(trash: str) -> int:
    """Delete all entries of the trash and return how many there were.

    Symbolic links are removed, never followed, and what is mounted in there is unmounted first. An
    entry that can't be deleted doesn't keep the others from going; the first such error is raised
    in the end, as DriverError.
    """
    swept = 0
    first: tuple[str, OSError] | None = None
    if not os.path.isdir(trash):
        return swept  # of a root that nothing was removed from
    try:
        unmount_beneath(trash, itself=False)
    except OSError as error:
        raise DriverError.from_os_error("unmount what is mounted in", trash, error) from error
    top = os.open(trash, DIRECTORY)
    try:
        for name in os.listdir(top):
            try:
                delete_entry(top, name)
            except OSError as error:
                first = first or (f"{trash}/{name}", error)
            else:
                swept += 1
    finally:
        os.close(top)
    if first is not None:
        path, cause = first
        raise DriverError.from_os_error("delete", path, cause) from cause
    return swept


def holds_little(trash: str, names: int = FEW_NAMES) -> bool:
    """Whether deleting what the trash holds takes no time worth mentioning.

    Looks at no more than so many names. What can't be looked at is said to be much.
    """
    try:
        top = os.open(trash, DIRECTORY)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _Little(names).holds(top)
    except OSError:
        return False
    finally:
        os.close(top)


class _Little:
    """What may still be found for it to be little."""

    def __init__(self, names: int) -> None:
        self._names = names
        self._blocks = _FEW_BLOCKS

    def holds(self, directory: int) -> bool:
        """Whether a directory, with all beneath it, has no more than that."""
        with os.scandir(directory) as entries:
            return all(self._takes(directory, entry) for entry in entries)

    def _takes(self, directory: int, entry: os.DirEntry[str]) -> bool:
        status = entry.stat(follow_symlinks=False)
        self._names -= 1
        self._blocks -= status.st_blocks
        if self._names < 0 or self._blocks < 0:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return True
        below = os.open(entry.name, DIRECTORY, dir_fd=directory)
        try:
            return self.holds(below)
        finally:
            os.close(below)


def unmount_beneath(directory: str, *, itself: bool = True) -> None:
    """Unmount all that is mounted in (and on) a directory, lest its deletion reach further.

    Lazily, the innermost first, as moby's EnsureRemoveAll. Raises OSError.
    """
    for point in reversed(list(mount_points())):
        if (itself and point.path == directory) or point.path.startswith(f"{directory}/"):
            try:
                syscalls.umount(point.path, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):  # gone already
                    raise
            with contextlib.suppress(OSError):
                os.rmdir(point.path)  # a mount point; where more lies in it, that stays


def make_room(root: str, trash: str, wanted: int) -> None:
    """Empty the trash now if the file system has less than `wanted` bytes free.

    What was removed may still fill a disk; nobody should be told that it is full before that is
    gone.
    """
    status = os.statvfs(root)
    if status.f_bavail * status.f_frsize < wanted or status.f_favail < _FEW_INODES:
        sweep(trash)
