"""Which project a directory belongs to, and that what is made in it does as well.

Owns the ioctls FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR and their structure. Sources: the kernel's
include/uapi/linux/fs.h (struct fsxattr) and Documentation/filesystems/ext4, and xfs_quota(8).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from layerstore.drivers.errors import DriverError

FSXATTR = struct.Struct("=IIIII8x")
"""struct fsxattr: flags, extent size, extents, project, extent size of copies, padding."""
PROJINHERIT = 0x200
"""FS_XFLAG_PROJINHERIT: what is made in the directory belongs to its project, too."""
_OTHERWISE = ("alpha", "mips", "parisc", "ppc", "sparc")
"""Machines on which the direction of an ioctl is told by other bits (asm/ioctl.h)."""


def _number(direction: int, number: int) -> int:
    return direction << 30 | FSXATTR.size << 16 | ord("X") << 8 | number


GET = _number(2, 31)
"""FS_IOC_FSGETXATTR, _IOR('X', 31, struct fsxattr)."""
SET = _number(1, 32)
"""FS_IOC_FSSETXATTR, _IOW('X', 32, struct fsxattr)."""


def open_directory(path: str) -> int:
    """Return the descriptor of a directory, whose last name isn't followed. Raises DriverError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise DriverError.from_os_error("open", path, error) from error


def project_of(fd: int) -> int:
    """Return the project that an open file belongs to; 0 is that of all others. Raises OSError."""
    return int(_get(fd)[3])


def _get(fd: int) -> tuple[int, ...]:
    if os.uname().machine.startswith(_OTHERWISE):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return FSXATTR.unpack(fcntl.ioctl(fd, GET, bytes(FSXATTR.size)))


def give_project(path: str, like: str) -> None:
    """Have a directory belong to the project of another, where that has one. Raises DriverError."""
    fd = open_directory(like)
    try:
        project = project_of(fd)
    except OSError:
        project = 0  # there are none here
    finally:
        os.close(fd)
    if project:
        set_project(path, project)


def set_project(path: str, project: int) -> None:
    """Have a directory, and what is made in it from now on, belong to a project.

    Raises DriverError.
    """
    fd = open_directory(path)
    try:
        flags, extent, extents, _, copies = _get(fd)
        wanted = FSXATTR.pack(flags | PROJINHERIT, extent, extents, project, copies)
        fcntl.ioctl(fd, SET, wanted)
    except OSError as error:
        raise DriverError.from_os_error("set the project of", path, error) from error
    finally:
        os.close(fd)
