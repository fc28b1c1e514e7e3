"""The trash: where removed things wait, beneath the store's own directory, to be deleted.

Owns `<root>/layerstore/trash`. What lies there has no name in any metadata and is nobody's parent,
so deleting it needs no order and can be begun again after any crash.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
from resource import RUSAGE_THREAD, getrusage
from threading import Thread

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.tree.btrfs_ioctls import FIRST_INODE
from layerstore.drivers.tree.delete import DIRECTORY, delete_entry
from layerstore.drivers.tree.subvolumes import settle

ROOM = 1 << 30
"""Bytes that should be free before something is made whose size isn't known."""
_FEW_INODES = 100_000
FEW_NAMES = 200
"""What is deleted before a child would be there."""
MORE_NAMES = 2_000
"""What is deleted before a process that outlives this one would be."""
_FEW_BLOCKS = 128 * 1024
"""Of 512 bytes."""
_SHALLOW = 32
"""Directories beneath each other in what is little: looking takes a descriptor for each."""
_FIRST = 4
"""Entries that tell whether one has to wait for the disk; else hands are in each other's way."""
HANDS = 8
"""Threads that wait for the disk at once, where a process does nothing else."""
_log = logging.getLogger("layerstore")


def trash_path(root: str) -> str:
    """Return the trash directory of a store root."""
    return f"{root}/layerstore/trash"


def prepare_trash(trash: str) -> None:
    """Make the trash directory if it is missing."""
    try:
        os.makedirs(trash, mode=0o700, exist_ok=True)
    except OSError as error:
        raise DriverError.from_os_error("mkdir", trash, error) from error


def sweep(trash: str, hands: int = 1) -> int:
    """Delete all entries of the trash and return how many there were.

    Symbolic links are removed, never followed, and what is mounted in there is unmounted first. An
    entry that can't be deleted doesn't keep the others from going; the first such error is raised
    in the end, as DriverError. Where the disk makes it wait, so many `hands` (threads) share them.
    What another sweep is at, too, is gone all the same when this one returns.
    """
    try:
        top = os.open(trash, DIRECTORY)
    except FileNotFoundError:
        return 0  # of a root that nothing was removed from
    except OSError as error:
        raise DriverError.from_os_error("open", trash, error) from error
    try:
        return _Sweep(trash, top).run(hands)
    finally:
        os.close(top)


class _Sweep:
    """The deletion of what lies in the trash at one moment."""

    def __init__(self, trash: str, top: int) -> None:
        self._trash = trash
        self._top = top
        self._left: list[str] = []
        self._failed: list[tuple[str, Exception]] = []
        self._destroyed: list[int] = []
        """Subvolumes, by ID."""

    def run(self, hands: int) -> int:
        self._left = os.listdir(self._top)
        found = len(self._left)
        if not found:
            return 0
        try:
            unmount_beneath(self._trash, itself=False)
        except OSError as error:
            what = "unmount what is mounted in"
            raise DriverError.from_os_error(what, self._trash, error) from error
        before = getrusage(RUSAGE_THREAD).ru_nvcsw
        self._delete_some(_FIRST)
        waited = getrusage(RUSAGE_THREAD).ru_nvcsw - before
        if self._left:
            self._delete_all(hands if waited >= _FIRST else 1)
        for name, cause in self._failed[:1]:
            if not isinstance(cause, OSError):
                raise cause
            path = f"{self._trash}/{name}"
            raise DriverError.from_os_error_in("delete", path, cause) from cause
        self._settle()
        return found

    def _settle(self) -> None:
        try:
            settle(self._top, self._destroyed)
        except OSError as error:
            what = "wait for what was deleted from"
            raise DriverError.from_os_error(what, self._trash, error) from error

    def _delete_all(self, hands: int) -> None:
        begun = []
        try:
            for _ in range(hands - 1):
                other = Thread(target=self._delete_some, daemon=True)
                other.start()
                begun.append(other)
        except RuntimeError as error:
            _log.debug("the trash is emptied by %d threads: %s", 1 + len(begun), error)
        try:
            self._delete_some()
        finally:
            self._left.clear()  # where this thread was interrupted, the others end as well
            for other in begun:
                other.join()

    def _delete_some(self, most: int = sys.maxsize) -> None:
        while self._left and most:
            most -= 1
            try:
                name = self._left.pop()
            except IndexError:
                return  # another hand has just taken the last
            try:
                self._destroyed += delete_entry(self._top, name)
            except Exception as error:  # noqa: BLE001 - whoever began the sweep raises it
                self._failed.append((name, error))


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
        """Whether a directory, with all beneath it, has no more than that, and none lies deep."""
        return self._holds(directory, _SHALLOW)

    def _holds(self, directory: int, depth: int) -> bool:
        with os.scandir(directory) as entries:
            return all(self._takes(directory, entry, depth) for entry in entries)

    def _takes(self, directory: int, entry: os.DirEntry[str], depth: int) -> bool:
        status = entry.stat(follow_symlinks=False)
        self._names -= 1
        self._blocks -= status.st_blocks
        if self._names < 0 or self._blocks < 0:
            return False
        if not stat.S_ISDIR(status.st_mode) or status.st_ino == FIRST_INODE:
            return True  # a subvolume goes by one call
        if not depth:
            return False
        below = os.open(entry.name, DIRECTORY, dir_fd=directory)
        try:
            return self._holds(below, depth - 1)
        finally:
            os.close(below)


def unmount_beneath(directory: str, *, itself: bool = True) -> None:
    """Unmount all that is mounted in (and on) a directory, lest its deletion reach further.

    Lazily, the innermost first, as moby's EnsureRemoveAll. Raises OSError.
    """
    for point in reversed(list(mount_points(directory))):
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
