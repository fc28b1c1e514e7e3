"""What btrfs alone can do, by ioctl(2): subvolumes, snapshots, quota groups, looking things up.

Owns numbers and structures; every failure is an OSError with the real errno, which is ENOTTY on
other file systems. Sources: btrfs-ioctl(2), the kernel's include/uapi/linux/btrfs.h and
btrfs_tree.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator

FIRST_INODE = 256
"""The inode number of every subvolume's root, and the least that a subvolume's ID can be."""
ROOT_TREE = 1
QUOTA_TREE = 8
ROOT_ITEM = 132
ROOT_REF = 156
QGROUP_STATUS = 240
QGROUP_INFO = 242
READ_ONLY = 1 << 1
QUOTA_ON = 1
QUOTA_SCANNING = 2
QUOTA_INCONSISTENT = 4
QUOTA_SIMPLE = 8
_BY_ID = 1 << 4
_LAST = (1 << 64) - 1
_MAX_REFERENCED = 1
_ENABLE = 1


def _write(number: int, size: int) -> int:
    return 1 << 30 | size << 16 | 0x94 << 8 | number


def _read(number: int, size: int) -> int:
    return 2 << 30 | size << 16 | 0x94 << 8 | number


def _both(number: int, size: int) -> int:
    return 3 << 30 | size << 16 | 0x94 << 8 | number


_PAGE = 4096
_ARGS = struct.Struct("<q4088s")
_ARGS_2 = struct.Struct("<qQQ4Q4040s")
_KEY = struct.Struct("<7Q4I4Q")
_HEADER = struct.Struct("<3Q2I")
_LIMIT = struct.Struct("<6Q")
_PAIR = struct.Struct("<2Q")
SYNC = 0x94 << 8 | 8
SUBVOL_CREATE = _write(14, _PAGE)
SNAP_DESTROY = _write(15, _PAGE)
TREE_SEARCH = _both(17, _PAGE)
INO_LOOKUP = _both(18, _PAGE)
SNAP_CREATE_V2 = _write(23, _PAGE)
SUBVOL_GETFLAGS = _read(25, 8)
SUBVOL_SETFLAGS = _write(26, 8)
QUOTA_CTL = _both(40, 16)
QGROUP_ASSIGN = _write(41, 24)
QGROUP_CREATE = _write(42, 16)
QGROUP_LIMIT = _read(43, 48)
QUOTA_RESCAN = _write(44, 64)
QUOTA_RESCAN_WAIT = 0x94 << 8 | 46
SNAP_DESTROY_V2 = _write(63, _PAGE)


def create(directory: int, name: bytes) -> None:
    """Make an empty subvolume in an open directory."""
    fcntl.ioctl(directory, SUBVOL_CREATE, bytearray(_ARGS.pack(0, name)))


def snapshot(source: int, directory: int, name: bytes) -> None:
    """Make a writable snapshot of an open subvolume in an open directory."""
    arguments = _ARGS_2.pack(source, 0, 0, 0, 0, 0, 0, name)
    fcntl.ioctl(directory, SNAP_CREATE_V2, bytearray(arguments))


def destroy(directory: int, name: bytes) -> None:
    """Take a subvolume out of an open directory, whatever is in it; ENOTEMPTY for subvolumes."""
    fcntl.ioctl(directory, SNAP_DESTROY, bytearray(_ARGS.pack(0, name)))


def destroy_by_id(at: int, subvolume: int) -> None:
    """Do as destroy with the subvolume of an ID, on the file system of an open file."""
    arguments = _ARGS_2.pack(0, 0, _BY_ID, 0, 0, 0, 0, _PAIR.pack(subvolume, 0))
    fcntl.ioctl(at, SNAP_DESTROY_V2, bytearray(arguments))


def subvolume_id(at: int) -> int:
    """Return the ID of the subvolume that an open file lies in."""
    arguments = bytearray(_PAIR.pack(0, FIRST_INODE) + bytes(_PAGE - _PAIR.size))
    fcntl.ioctl(at, INO_LOOKUP, arguments)
    return int(_PAIR.unpack_from(arguments)[0])


def path_of(at: int, subvolume: int, directory: int) -> str:
    """Return a directory's path in a subvolume, with a slash at its end, empty for its root."""
    arguments = bytearray(_PAIR.pack(subvolume, directory) + bytes(_PAGE - _PAIR.size))
    fcntl.ioctl(at, INO_LOOKUP, arguments)
    return os.fsdecode(bytes(arguments[_PAIR.size :]).partition(b"\0")[0])


def make_writable(subvolume: int) -> None:
    """Take the read-only flag from an open subvolume."""
    flags = int.from_bytes(fcntl.ioctl(subvolume, SUBVOL_GETFLAGS, bytes(8)), "little")
    wanted = flags & ~READ_ONLY
    fcntl.ioctl(subvolume, SUBVOL_SETFLAGS, wanted.to_bytes(8, "little"))


def commit(at: int) -> None:
    """Put the file system on the disk, and have the kernel go on with what was destroyed."""
    fcntl.ioctl(at, SYNC)


def search(
    at: int, tree: int, object_id: int, kind: int, offset: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of an object's items of a kind in one of the trees, in order.

    Or that of one offset. What is there since the last commit may be missing. Wants CAP_SYS_ADMIN.
    """
    start, end = (0, _LAST) if offset is None else (offset, offset)
    while True:
        wanted = (tree, object_id, object_id, start, end, 0, _LAST, kind, kind, _PAGE)
        key = _KEY.pack(*wanted, 0, 0, 0, 0, 0)
        page = bytearray(key + bytes(_PAGE - _KEY.size))
        fcntl.ioctl(at, TREE_SEARCH, page)
        found, place = _KEY.unpack_from(page)[9], _KEY.size
        for _ in range(found):
            _, _, start, _, size = _HEADER.unpack_from(page, place)
            place += _HEADER.size
            yield start, bytes(page[place : place + size])
            place += size
        if not found or start >= end:
            return
        start += 1


def enable_quotas(at: int) -> None:
    """Have the file system count by quota groups from now on, and count what is there."""
    fcntl.ioctl(at, QUOTA_CTL, bytearray(_PAIR.pack(_ENABLE, 0)))


def scan(at: int) -> None:
    """Have quota groups count what is there; EINPROGRESS where they are at it."""
    fcntl.ioctl(at, QUOTA_RESCAN, bytes(64))


def await_scan(at: int) -> None:
    """Wait until quota groups have counted what is there."""
    fcntl.ioctl(at, QUOTA_RESCAN_WAIT)


def make_group(at: int, group: int) -> None:
    """Make a quota group."""
    fcntl.ioctl(at, QGROUP_CREATE, _PAIR.pack(1, group))


def remove_group(at: int, group: int) -> None:
    """Remove a quota group; EBUSY while its subvolume is there, ENOENT where it isn't."""
    fcntl.ioctl(at, QGROUP_CREATE, _PAIR.pack(0, group))


def join_group(at: int, member: int, group: int) -> None:
    """Have what a quota group counts be counted by one of a higher level, too."""
    fcntl.ioctl(at, QGROUP_ASSIGN, struct.pack("<3Q", 1, member, group))


def limit_group(at: int, group: int, referenced: int | None) -> None:
    """Bound the bytes that a quota group refers to; None for no bound."""
    bound = _LAST if referenced is None else referenced  # that is how a bound is taken away
    arguments = _LIMIT.pack(group, _MAX_REFERENCED, bound, 0, 0, 0)
    fcntl.ioctl(at, QGROUP_LIMIT, bytearray(arguments))
