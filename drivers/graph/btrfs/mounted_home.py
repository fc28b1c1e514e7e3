"""A driver's home that is mounted on itself, as dockerd leaves it where it is killed.

Owns telling that from another file system that somebody keeps there.
"""

from __future__ import annotations

import errno
import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls

_STACKED = 100


def lay_bare(root: str, name: str) -> None:
    """Unmount what is mounted on a directory of a root if it is that directory.

    Nothing is renamed between two mounts, so what is removed couldn't be moved to the trash. moby
    mounts btrfs' home so, for the propagation of mounts in it. Raises DriverError, also where
    another file system is mounted there.
    """
    path = f"{root}/{name}"
    for _ in range(_STACKED):
        try:
            seen = os.lstat(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError.from_os_error("look at", path, error) from error
        try:
            if not _is_mount_point(root, name):
                return
            if not os.path.samestat(seen, _beneath(root, name)):
                reason = "another file system is mounted there, and the trash is the root's"
                raise DriverError("use", path, errno.EXDEV, reason)
            syscalls.umount(path, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        except OSError as error:
            raise DriverError.from_os_error("unmount", path, error) from error


def _is_mount_point(root: str, name: str) -> bool:
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_NOFOLLOW
        os.close(syscalls.openat2(directory, name, flags, 0, syscalls.RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return True
    finally:
        os.close(directory)
    return False


def _beneath(root: str, name: str) -> os.stat_result:
    """Return what a name in the root is, whatever is mounted on it."""
    alone = syscalls.detached_mount(root, 0)
    try:
        return os.stat(name, dir_fd=alone, follow_symlinks=False)
    finally:
        os.close(alone)
