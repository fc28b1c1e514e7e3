"""Standard streams by which whatever runs changes nothing of this machine but what it is given.

Owns which streams are opened anew: a container reaches the file behind a descriptor by
/proc/self/fd, may open it for more than the descriptor is for, and change its mode and owner. On a
mount of its own that is read-only it can't. Sources: proc_pid_fd(5); mount_setattr(2); runc,
reOpenDevNull.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable

from layerstore.drivers.system import syscalls

_NULL = (1, 3)
_KEPT = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_DIRECT


_kept: dict[tuple[int, int], int] = {}
"""Mounts of null devices, by the device's file system and inode."""


def put_on_own_mounts(streams: Iterable[int] = (0, 1, 2), *, keep: bool = False) -> None:
    """Have the null device, terminals and files that are only read on mounts that are read-only.

    A stream stays what it is where this process can't mount it, as before Linux 5.12, or can't open
    it again: then no container's process can either. With `keep` one mount of the null device does
    for all streams to come, which costs less; whoever this process forks has to close it, and
    does without.
    """
    for fd in streams:
        found = os.fstat(fd)
        place = (found.st_dev, found.st_ino) if keep and _is_null(found) else None
        if place in _kept:
            again: int | None = _opened(_kept[place], fd)
        else:
            again = _again(fd, place) if _is_shared(fd, found) else None
        if again is not None:
            os.dup2(again, fd, inheritable=fd <= 2)
            os.close(again)


def _is_null(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(*_NULL)


def _is_shared(fd: int, found: os.stat_result) -> bool:
    """Whether it isn't the command's alone; a file to write to is given to the command as such."""
    if stat.S_ISCHR(found.st_mode):
        return _is_null(found) or os.isatty(fd)
    only_read = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    return stat.S_ISREG(found.st_mode) and only_read


def _again(fd: int, kept_as: tuple[int, int] | None) -> int | None:
    """Open a stream by another mount of it, where it goes on as it is; None where that can't be.

    By its path that is found, too, where it was opened in another mount namespace than this one.
    The mount is kept under `kept_as`, if that says where the stream lies.
    """
    link = f"/proc/self/fd/{fd}"
    for path in (link, os.readlink(link)):
        try:
            mount = syscalls.detached_mount(path, syscalls.MOUNT_ATTR_RDONLY, follow=path == link)
        except OSError:
            continue
        try:
            found = _opened(mount, fd)
        except OSError:
            os.close(mount)
            continue
        is_same = os.path.samestat(os.fstat(found), os.fstat(fd))
        if is_same and kept_as is not None:
            _kept[kept_as] = mount
        else:
            os.close(mount)
        if is_same:
            return found
        os.close(found)
    return None


def _opened(mount: int, fd: int) -> int:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & _KEPT | os.O_NOCTTY | os.O_CLOEXEC
    found = os.open(f"/proc/self/fd/{mount}", flags)
    if stat.S_ISREG(os.fstat(found).st_mode):
        os.lseek(found, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
    return found
