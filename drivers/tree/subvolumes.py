"""Destroying btrfs subvolumes with all that lies in them, by some calls rather than one for a file.

Owns that nothing is destroyed but what lies beneath the one that is meant: subvolumes in it go by
their IDs, as the kernel's own tables list them, so no path is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Collection, Iterator

from layerstore.drivers.system import syscalls
from layerstore.drivers.tree import btrfs_ioctls as btrfs

GROUP_LEVEL = 0x4C53
"""Of the quota groups that count a layer with the subvolumes in it; as high as none by hand is."""
_INFO = struct.Struct("<5Q")
"""Generation, referenced, referenced before compression, exclusive, and before compression."""
_ROUNDS = 1000
"""How often it is begun again where somebody makes subvolumes in there meanwhile."""
_MOVED = {errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.ELOOP, errno.EXDEV}
"""What calls say of a place that others have made something else of."""
_REFERENCE = struct.Struct("<QQH")
"""The inode of the directory that it lies in, a sequence number, and how long its name is."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
_SECONDS, _MOST_SECONDS = 5, 60
_NOT_FOR_US = {
    errno.ENOTTY, errno.EPERM, errno.EACCES, errno.EINVAL, errno.EBUSY, errno.EOPNOTSUPP,
    errno.ENOTEMPTY, errno.ETXTBSY, errno.EROFS,
}  # fmt: skip


def is_subvolume(directory: int) -> bool:
    """Whether an open directory is a subvolume's root."""
    if os.fstat(directory).st_ino != btrfs.FIRST_INODE:
        return False
    try:
        btrfs.subvolume_id(directory)
    except OSError:
        return False  # of another file system
    return True


def on_btrfs(directory: int) -> bool:
    """Whether an open directory lies on btrfs, so that subvolumes may lie in it."""
    try:
        btrfs.subvolume_id(directory)
    except OSError:
        return False
    return True


def group_of(subvolume: int) -> int:
    """Return the ID of the quota group that counts a subvolume with those in it."""
    return GROUP_LEVEL << 48 | subvolume


def beneath(at: int, subvolume: int) -> list[int]:
    """Return the IDs of the subvolumes in one and in those, each before what lies in it.

    `at` is any open file of the file system. Raises OSError, also without CAP_SYS_ADMIN.
    """
    found, unseen = [], [subvolume]
    while unseen:
        children = [
            child for child, _ in btrfs.search(at, btrfs.ROOT_TREE, unseen.pop(), btrfs.ROOT_REF)
        ]
        found += children
        unseen += children
    return found


def fill_in(source: int, made: int) -> None:
    """Make snapshots of the subvolumes in one, in a snapshot that was made of it; both are open.

    That has an empty directory for each. Those that are made, moved or removed meanwhile may be
    missing. Raises OSError, after which what was made stays.
    """
    for one, place in _places(source, btrfs.subvolume_id(source)):
        try:
            _snapshot_at(source, made, place, one)
        except OSError as error:
            if error.errno not in _MOVED:
                raise


def _places(at: int, subvolume: int) -> Iterator[tuple[int, str]]:
    """Yield the ID of each subvolume in one, and its path from there, the upper ones first."""
    unseen = [(subvolume, "")]
    while unseen:
        above, way = unseen.pop()
        for child, reference in btrfs.search(at, btrfs.ROOT_TREE, above, btrfs.ROOT_REF):
            directory, _, length = _REFERENCE.unpack_from(reference)
            name = os.fsdecode(reference[_REFERENCE.size : _REFERENCE.size + length])
            with contextlib.suppress(FileNotFoundError):
                place = f"{way}{btrfs.path_of(at, above, directory)}{name}"
                yield child, place
                unseen.append((child, f"{place}/"))


def _snapshot_at(source: int, made: int, place: str, subvolume: int) -> None:
    """Make a snapshot of a subvolume in the one where it has left an empty directory."""
    way, _, name = place.rpartition("/")
    inner = syscalls.openat2(source, place, _DIRECTORY, 0, _BENEATH)
    try:
        above = syscalls.openat2(made, way or ".", _DIRECTORY, 0, _BENEATH)
        try:
            if btrfs.subvolume_id(inner) == subvolume:
                os.rmdir(name, dir_fd=above)
                btrfs.snapshot(inner, above, os.fsencode(name))
        finally:
            os.close(above)
    finally:
        os.close(inner)


def destroy(above: int, name: str, subvolume: int) -> list[int]:
    """Destroy an open subvolume that has a name in an open directory, with all that is in it.

    Returns the IDs of what was destroyed, whose bytes the kernel gives back later. If its own isn't
    the last of them, as its owner may not, or a program swaps to a file there, it has to be emptied
    file by file. Raises OSError for what is wrong with the disk.
    """
    gone: list[int] = []
    own = btrfs.subvolume_id(subvolume)
    for _ in range(_ROUNDS):
        try:
            btrfs.destroy(above, os.fsencode(name))
        except FileNotFoundError:
            return gone  # another has just destroyed it
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                return _left(error, gone)
        else:
            return [*gone, own]
        try:
            _destroy_beneath(subvolume, own, gone)
        except OSError as error:
            return _left(error, gone)
    return gone


def _left(error: OSError, gone: list[int]) -> list[int]:
    if error.errno in _NOT_FOR_US:
        return gone
    raise error


def _destroy_beneath(subvolume: int, own: int, gone: list[int]) -> None:
    for one in reversed(beneath(subvolume, own)):
        try:
            btrfs.destroy_by_id(subvolume, one)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.EDQUOT:
                raise
            # To say that it is gone takes room in the one above it, which may be full.
            unbind(subvolume, own)
            btrfs.destroy_by_id(subvolume, one)
        gone.append(one)


def unbind(at: int, subvolume: int) -> None:
    """Take away what bounds a subvolume and those in it. Raises OSError."""
    for group in (subvolume, group_of(subvolume)):
        with contextlib.suppress(FileNotFoundError):
            btrfs.limit_group(at, group, None)


def settle(at: int, destroyed: Collection[int]) -> None:
    """Wait until what was destroyed takes no room any more, and remove its quota groups.

    For some seconds, and for as long as it gets less: what a program has open stays until that is
    closed. Raises OSError.
    """
    if not destroyed:
        return
    import tenacity  # noqa: PLC0415 - most stores lie elsewhere

    btrfs.commit(at)
    left, free, begun = list(destroyed), 0, time.monotonic()
    since = begun

    def pending() -> bool:
        nonlocal left, free, since
        left = [one for one in left if any(btrfs.search(at, btrfs.ROOT_TREE, one, btrfs.ROOT_ITEM))]
        status, now = os.fstatvfs(at), time.monotonic()
        if status.f_bfree > free:
            free, since = status.f_bfree, now
        return bool(left) and now - since < _SECONDS and now - begun < _MOST_SECONDS

    try:
        tenacity.Retrying(
            retry=tenacity.retry_if_result(bool),
            wait=tenacity.wait_exponential(multiplier=0.001, max=0.2),
        )(pending)
    except PermissionError:
        return  # nobody but the kernel's administrator may ask
    if gone := set(destroyed).difference(left):
        btrfs.commit(at)  # before that they count still, and all counts are wrong without them
        for one in gone:
            forget_groups(at, one)


def counts(at: int, group: int) -> tuple[int, int] | None:
    """Return the bytes that a quota group refers to, and those that nobody else refers to.

    None where there is no such group. Raises OSError.
    """
    for _, content in btrfs.search(at, btrfs.QUOTA_TREE, 0, btrfs.QGROUP_INFO, group):
        _, referenced, _, exclusive, _ = _INFO.unpack_from(content)
        return referenced, exclusive
    return None


def forget_groups(at: int, subvolume: int) -> None:
    """Remove the quota groups of a subvolume that is gone, if they are there and count nothing.

    Newer kernels (from 6.10) do so themselves with its own, most of the time.
    """
    for group in (subvolume, group_of(subvolume)):
        try:
            if any(counts(at, group) or ()):
                return
            btrfs.remove_group(at, group)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTCONN, errno.EBUSY, errno.EPERM):
                raise
