"""Quota groups: how much a layer's subvolume may take, and how much it does.

Owns which group counts what. As in moby, a layer's bound is on what its subvolume refers to, what
it shares with its image included. Where the file system has simple quotas (Linux 6.7,
`btrfs quota enable --simple`), only what was written to the layer counts, and subvolumes that are
made in it are counted by a group of a higher level, which has the same bound: with full ones, which
are what moby switches on, such a subvolume is bounded by nothing. Wants CAP_SYS_ADMIN.
Sources: btrfs-quota(8), btrfs-qgroup(8), moby's daemon/graphdriver/btrfs.
"""

from __future__ import annotations

import contextlib
import logging
import struct

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.tree import btrfs_ioctls as btrfs
from layerstore.drivers.tree import subvolumes
from layerstore.drivers.tree.subvolumes import beneath, counts, forget_groups, group_of

_log = logging.getLogger("layerstore")
_STATUS = struct.Struct("<3Q")
"""Version, generation, flags."""


def kind_of(at: int) -> str:
    """Return `off`, `simple`, `full`, or `full, being counted` while counts aren't right yet."""
    flags = _flags(at)
    if not flags & btrfs.QUOTA_ON:
        return "off"
    if flags & btrfs.QUOTA_SIMPLE:
        return "simple"
    unsure = flags & (btrfs.QUOTA_SCANNING | btrfs.QUOTA_INCONSISTENT)
    return "full, being counted" if unsure else "full"


def _flags(at: int) -> int:
    try:
        for _, content in btrfs.search(at, btrfs.QUOTA_TREE, 0, btrfs.QGROUP_STATUS, 0):
            return int(_STATUS.unpack_from(content)[2])
    except FileNotFoundError:
        pass  # there is no such tree: they were never on
    return 0


def check(at: int, size: int) -> None:
    """Look whether a new subvolume, which is open, can be bounded by `size` bytes.

    Quotas are switched on where they are off, as by moby; that takes as long as the kernel has to
    count what is there. Raises OSError, and InvalidArgument where they can't be relied on, or what
    it has from its image is more already.
    """
    if not _flags(at) & btrfs.QUOTA_ON:
        _log.warning("full quotas are switched on for a whole file system, to bound a layer there")
        btrfs.enable_quotas(at)
    if counts_inner(at):
        return
    if _flags(at) & btrfs.QUOTA_INCONSISTENT:
        with contextlib.suppress(BlockingIOError):  # somebody else has them counted already
            btrfs.scan(at)
    btrfs.await_scan(at)
    btrfs.commit(at)  # that is when counts are written
    if _flags(at) & btrfs.QUOTA_INCONSISTENT:
        reason = "the file system's quota groups are inconsistent: see btrfs quota rescan"
        raise InvalidArgument(f"size={size}", reason)
    referenced, _ = counts(at, btrfs.subvolume_id(at)) or (0, 0)
    if referenced >= size:
        reason = f"the layer begins with {referenced} bytes of its image, which count on btrfs"
        raise InvalidArgument(f"size={size}", reason)


def counts_inner(at: int) -> bool:
    """Whether what is written to subvolumes in a subvolume counts for that: quotas are simple."""
    return bool(_flags(at) & btrfs.QUOTA_SIMPLE)


def bind(at: int, size: int) -> None:
    """Let an open subvolume have no more than `size` bytes, whatever it has. Raises OSError."""
    if not _flags(at) & btrfs.QUOTA_ON:
        btrfs.enable_quotas(at)
    own = btrfs.subvolume_id(at)
    btrfs.limit_group(at, own, size)
    if counts_inner(at):
        group = group_of(own)
        with contextlib.suppress(FileExistsError):
            btrfs.make_group(at, group)
        with contextlib.suppress(FileExistsError):
            btrfs.join_group(at, own, group)
        btrfs.limit_group(at, group, size)


def unbind(at: int) -> None:
    """Let an open subvolume have what it wants. Raises OSError."""
    subvolumes.unbind(at, btrfs.subvolume_id(at))


def usage(at: int) -> int | None:
    """Return the bytes that an open subvolume, with those in it, has for itself; None if uncounted.

    As of the file system's last commit, which is at most half a minute ago by default (`commit` of
    btrfs(5)). Raises OSError.
    """
    if kind_of(at) not in ("full", "simple"):
        return None
    own = btrfs.subvolume_id(at)
    found = [counts(at, one) for one in (own, *beneath(at, own))]
    return sum(count[1] for count in found if count is not None) if found[0] is not None else None


def forget_gone(at: int) -> None:
    """Remove the groups of layers that are gone, where a crash came before that. Raises OSError."""
    if kind_of(at) != "simple":
        return  # then a layer has none but its subvolume's
    groups = [group for group, _ in btrfs.search(at, btrfs.QUOTA_TREE, 0, btrfs.QGROUP_INFO)]
    for group in groups:
        subvolume = group & ~(0xFFFF << 48)
        if group != group_of(subvolume):
            continue
        if not any(btrfs.search(at, btrfs.ROOT_TREE, subvolume, btrfs.ROOT_ITEM)):
            forget_groups(at, subvolume)
