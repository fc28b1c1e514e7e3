"""What a project may take of a file system, and what it takes.

Owns quotactl_fd(2) and its structures, in the form of xfs, which the kernel takes of every file
system with quotas. Sources: quotactl(2), the kernel's include/uapi/linux/dqblk_xfs.h (struct
fs_disk_quota, struct fs_quota_statv) and include/uapi/linux/quota.h.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from msgspec import Struct

from layerstore.drivers.system import syscalls

DISK_QUOTA = struct.Struct("=bBHIQQQQQQiiHHbbbxQQQiH10x")
"""struct fs_disk_quota; limits and counts of blocks are in units of 512 bytes."""
STATE = struct.Struct("=bxHI72xiiiHHH62x")
"""struct fs_quota_statv; of it the version and the flags count here."""
BLOCK = 512
_SYS_QUOTACTL_FD = 443  # the same on every architecture
_PRJQUOTA = 2
_Q_XGETQUOTA, _Q_XSETQLIM, _Q_XGETQSTATV = (ord("X") << 8 | number for number in (3, 4, 8))
_VERSION = 1
"""FS_DQUOT_VERSION and FS_QSTATV_VERSION1."""
_FS_PROJ_QUOTA = 2
_HARD_LIMITS = 0x0F
"""FS_DQ_ISOFT, FS_DQ_IHARD, FS_DQ_BSOFT and FS_DQ_BHARD: all four, as moby sets those of blocks."""
_ACCOUNTED, _ENFORCED = 1 << 4, 1 << 5
"""FS_QUOTA_PDQ_ACCT and FS_QUOTA_PDQ_ENFD."""


class Taken(Struct, frozen=True):
    """What a project takes, and at most may."""

    bytes: int
    inodes: int
    most_bytes: int
    """0 for no bound."""
    most_inodes: int

    @property
    def is_nobodys(self) -> bool:
        """Whether nothing belongs to the project, and nobody has bounded it."""
        return not (self.bytes or self.inodes or self.most_bytes or self.most_inodes)


def packed_limits(project: int, size: int, inodes: int) -> bytes:
    """Return the structure that bounds a project; `size` in bytes, of which whole blocks count.

    One block at least, as none would be no bound.
    """
    blocks = max(size // BLOCK, 1)
    limits = (blocks, blocks, inodes, inodes)
    head = (_VERSION, _FS_PROJ_QUOTA, _HARD_LIMITS, project)
    return DISK_QUOTA.pack(*head, *limits, *(0,) * 14)


def unpacked_limits(data: bytes) -> Taken:
    """Return what such a structure of the kernel's says."""
    _, _, _, _, blocks, _, inodes, _, taken, files, *_ = DISK_QUOTA.unpack(data)
    return Taken(taken * BLOCK, files, blocks * BLOCK, inodes)


def why_not_enforced(fd: int) -> str:
    """Return why the file system of an open file bounds no project, or nothing where it does."""
    state = ctypes.create_string_buffer(STATE.pack(_VERSION, *(0,) * 8), STATE.size)
    try:
        _quotactl(fd, _Q_XGETQSTATV, 0, state)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ESRCH, errno.EINVAL, errno.ENOTSUP):
            return f"it is mounted without project quotas ({error.strerror})"
        return f"its project quotas can't be asked about ({error.strerror})"
    flags = STATE.unpack(state.raw)[1]
    if not flags & _ACCOUNTED:
        return "it is mounted without project quotas"
    return "" if flags & _ENFORCED else "its project quotas are counted but not enforced"


def limit(fd: int, project: int, size: int, inodes: int) -> None:
    """Bound what a project takes of the file system of an open file. Raises OSError."""
    data = ctypes.create_string_buffer(packed_limits(project, size, inodes), DISK_QUOTA.size)
    _quotactl(fd, _Q_XSETQLIM, project, data)


def taken(fd: int, project: int) -> Taken:
    """Return what a project takes of the file system of an open file. Raises OSError."""
    data = ctypes.create_string_buffer(DISK_QUOTA.size)
    try:
        _quotactl(fd, _Q_XGETQUOTA, project, data)
    except OSError as error:
        if error.errno != errno.ENOENT:  # xfs has no record of what nobody has used
            raise
        return Taken(0, 0, 0, 0)
    return unpacked_limits(data.raw)


def _quotactl(fd: int, command: int, project: int, data: ctypes.Array[ctypes.c_char]) -> None:
    number = command << 8 | _PRJQUOTA
    syscalls.syscall(_SYS_QUOTACTL_FD, None, fd, number, project, ctypes.byref(data))
