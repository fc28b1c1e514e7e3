"""Having ext4 lay what is in different subdirectories apart from each other.

Owns that hint, and when it is given. It changes nothing that can be seen but by lsattr(1).
Sources: chattr(1), attribute T; the kernel's fs/ext4/ialloc.c, find_group_orlov and find_inode_bit.
"""

from __future__ import annotations

import fcntl
import logging
import os

_log = logging.getLogger("layerstore")
_FLAGS_SIZE = 8
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS; elsewhere than on the usual
_SET_FLAGS = 0x40086602  # architectures these mean nothing, and no hint is given
TOP_OF_HIERARCHIES = 0x00020000
"""FS_TOPDIR_FL."""


def lay_apart(path: str) -> None:
    """Say of a directory that its subdirectories have nothing to do with each other.

    Only to an ext4 without a journal, as virtual machines often have it: that gives nobody an inode
    which was freed in the last minutes, but looks at each again whenever a file is made near it. So
    layers are no longer made where others have just been removed. It is a hint, so nothing is
    raised where it can't be given.
    """
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _lacks_journal(directory):
                _set(directory, TOP_OF_HIERARCHIES)
        finally:
            os.close(directory)
    except OSError as error:
        _log.debug("%s isn't laid apart: %s", path, error)


def flags_of(directory: int) -> int:
    """Return the inode flags of what a descriptor is of. Raises OSError where there are none."""
    return int.from_bytes(fcntl.ioctl(directory, _GET_FLAGS, bytes(_FLAGS_SIZE))[:4], "little")


def _set(directory: int, flag: int) -> None:
    flags = flags_of(directory)
    if not flags & flag:
        fcntl.ioctl(directory, _SET_FLAGS, (flags | flag).to_bytes(_FLAGS_SIZE, "little"))


def _lacks_journal(directory: int) -> bool:
    """Whether a directory is on an ext4 without a journal."""
    device = os.fstat(directory).st_dev
    try:
        place = os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
        with open(f"/sys/fs/ext4/{os.path.basename(place)}/journal_task", "rb") as task:
            return task.read().strip() == b"<none>"
    except FileNotFoundError:
        return False  # no block device, or another file system
