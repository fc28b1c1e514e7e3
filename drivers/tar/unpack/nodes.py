"""Making devices and pipes, or what stands for a device that this process may not make.

Owns which numbers there can be. What stands for one is an empty file, which says so by `override`.
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.unpack.owner import keep, times
from layerstore.drivers.tar.unpack.unset import Unset
from layerstore.drivers.tree import override

NODES = {th.CHAR: stat.S_IFCHR, th.BLOCK_DEVICE: stat.S_IFBLK, th.FIFO: stat.S_IFIFO}
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST_MAJOR, _LARGEST_MINOR = 0xFFF, 0xFFFFF


def make_node(directory: int, name: bytes, header: Header) -> int | None:
    """Make it with mode 0600; returns the descriptor of what stands for it, if that is made.

    Raises OSError, and InvalidTar for a number that no device has.
    """
    device = 0 if header.type == th.FIFO else _device(header)
    try:
        os.mknod(name, NODES[header.type] | 0o600, device, dir_fd=directory)
    except PermissionError:
        if not device:
            raise
        return os.open(name, NEW_FILE, 0o600, dir_fd=directory)
    return None


def describe_stand_in(fd: int, header: Header, unset: Unset) -> None:
    """Set all of an empty file that stands for a device, and close it."""
    mode = header.mode & 0o7777
    try:
        kept = override.Kept(header.uid, header.gid, NODES[header.type] | mode, _device(header))
        keep(fd, kept, header, unset)
        os.fchmod(fd, override.shown(stat.S_IFREG | mode, foreign=True))
        os.utime(fd, ns=times(header))
    finally:
        os.close(fd)
    unset.stands_for_device(header.entry)


def _device(header: Header) -> int:
    major, minor = header.major, header.minor
    if not (0 <= major <= _LARGEST_MAJOR and 0 <= minor <= _LARGEST_MINOR):
        reason = f"the device number {major}:{minor} is out of range"
        raise InvalidTar(header.offset, reason, header.entry)
    return os.makedev(major, minor)
