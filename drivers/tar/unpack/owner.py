"""Who owns a file made from a tar member, its permissions, extended attributes and times.

Owns the order in which these are set (a change of owner drops capabilities and set-user-ID bits)
and what is left out. It makes no files and never follows a symbolic link.
Source: moby's archive.createTarFile.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.unpack.unset import Unset
from layerstore.drivers.tree import override
from layerstore.drivers.tree.xattrs import (
    CAPABILITY,
    OVERRIDE,
    belongs_in_tar,
    get_xattr,
    is_hosts_own,
    list_xattrs,
    set_xattr,
)

_PERMISSIONS = 0o7777
_LARGEST_ID = 0xFFFFFFFE
_IMPOSSIBLE = frozenset({errno.EINVAL, errno.ERANGE, errno.E2BIG})
"""An attribute's name is empty, of no known kind or too long, or its value is too long."""
_LARGEST_XATTR = 1 << 16
_SHOWN = 100
_LATEST = (1 << 63) - 1


def times(header: Header) -> tuple[int, int]:
    """Give access and modification time in nanoseconds, as moby sets them.

    A file was never accessed before it was modified; what 64 bits of nanoseconds since 1970 don't
    hold becomes 1970.
    """
    mtime = header.mtime
    atime = mtime if header.atime is None or header.atime < mtime else header.atime
    if mtime >= 0 and atime <= _LATEST:
        return atime, mtime
    return _bounded(atime), _bounded(mtime)


def _bounded(time: int) -> int:
    return time if 0 <= time <= _LATEST else 0


def check_owner(header: Header) -> None:
    """Refuse owners that the kernel can't store; -1 would mean "unchanged"."""
    if not (0 <= header.uid <= _LARGEST_ID and 0 <= header.gid <= _LARGEST_ID):
        raise InvalidTar(
            header.offset, f"the owner {header.uid}:{header.gid} is out of range", header.entry
        )


def set_on_descriptor(
    fd: int, header: Header, unset: Unset, kind: int = stat.S_IFREG, *, keeps: bool = True
) -> None:
    """Set owner, attributes and permissions of an open file or directory, not its times.

    `kind` is the type in st_mode. An owner that this process may not give it is kept, see
    `tree/override`; not of a layer's root, as fuse-overlayfs would take that to say that it is to
    give such owners itself to all that is in the layer, which it can't.
    """
    mode = header.mode & _PERMISSIONS
    foreign = False
    try:
        os.fchown(fd, header.uid, header.gid)
    except OSError as error:
        _own_instead(functools.partial(os.fchown, fd), error)
        foreign = True
    if foreign or not override.minds_no_permissions():
        mode = override.shown(kind | mode, foreign=foreign)
        if keeps and (foreign or mode != header.mode & _PERMISSIONS):
            keep(fd, _meant(header, kind), header, unset)
    if header.xattrs:
        _set_xattrs(fd, header, unset)
    os.fchmod(fd, mode)


def own(chown: Callable[[int, int], None], header: Header) -> bool:
    """Give a file its owner, or else this process's; whether it is its owner. Raises OSError."""
    try:
        chown(header.uid, header.gid)
    except OSError as error:
        _own_instead(chown, error)
        return False
    return True


def _own_instead(chown: Callable[[int, int], None], error: OSError) -> None:
    """Have a file be this process's, where that error says that there is no such owner to give."""
    if not override.may_own(error):
        raise error
    chown(os.geteuid(), os.getegid())


def keep(target: int | bytes, meant: override.Kept, header: Header, unset: Unset) -> None:
    """Note what a file is meant to be, where the file system has attributes. Raises OSError."""
    try:
        override.keep(target, meant)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        unset.owner_is_lost(header.entry)


def _meant(header: Header, kind: int) -> override.Kept:
    return override.Kept(header.uid, header.gid, kind | (header.mode & _PERMISSIONS))


def drop_xattrs(fd: int, header: Header) -> None:
    """Remove the attributes of a directory that was there already and that its member hasn't got.

    Source: OCI image layer specification, "Applying Changesets": the existing path's attributes
    are replaced by those of the entry. (moby adds to them where its tree is a copy.)
    """
    for name in list_xattrs(fd):
        if name == OVERRIDE or (belongs_in_tar(name) and name not in header.xattrs):
            os.removexattr(fd, name)


def set_on_name(directory: int, name: bytes, header: Header, kind: int, unset: Unset) -> None:
    """Set everything of a file that can't be opened; `kind` is its st_mode.

    The permissions of a symbolic link are none of Linux's business.
    """
    chown = functools.partial(os.chown, name, dir_fd=directory, follow_symlinks=False)
    foreign = not own(chown, header)
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    mode = header.mode & _PERMISSIONS
    if stat.S_ISREG(kind):
        mode = override.shown(stat.S_IFREG | mode, foreign=foreign)
        if foreign or mode != header.mode & _PERMISSIONS:
            keep(path, _meant(header, stat.S_IFREG), header, unset)
    elif foreign:
        unset.owner_is_lost(header.entry)
        mode &= ~(stat.S_ISUID | stat.S_ISGID)
    if header.xattrs:
        _set_xattrs(path, header, unset)
    if not stat.S_ISLNK(kind):
        os.chmod(name, mode, dir_fd=directory)
    os.utime(name, ns=times(header), dir_fd=directory, follow_symlinks=False)


def set_on_link(directory: int, name: bytes, header: Header, kind: int, unset: Unset) -> None:
    """Set everything of a file once more, as the member of another of its names says it.

    A change of owner, even to the same one, takes a file's capabilities. They are the file's, not
    the name's, and writers of tars say them once: so they are given back, unless the member has
    others.
    """
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    if stat.S_ISREG(kind) and (text := get_xattr(path, OVERRIDE)) is not None:
        if override.is_device(text):
            return
        os.removexattr(path, OVERRIDE, follow_symlinks=False)
    kept = None if CAPABILITY in header.xattrs else get_xattr(path, CAPABILITY)
    set_on_name(directory, name, header, kind, unset)
    if kept is not None:
        set_xattr(path, CAPABILITY, kept)


def _set_xattrs(target: int | bytes, header: Header, unset: Unset) -> None:
    for name, value in header.xattrs.items():
        if name == OVERRIDE:
            unset.forges_owner(header.entry)
        if is_hosts_own(name):
            continue
        try:
            set_xattr(target, name, value)
        except OSError as error:
            if unset.tolerates(name, header.entry, error):
                continue
            if error.errno in _IMPOSSIBLE or (error.errno == errno.ENOSPC and _has_room(target)):
                raise _impossible(header, name, value, error) from error
            raise


def _has_room(target: int | bytes) -> bool:
    """Whether a file system has room for more than the largest attribute that Linux knows.

    ENOSPC says then that an inode's attributes together are larger than what is kept of them.
    """
    status = os.statvfs(target if isinstance(target, int) else os.path.dirname(target))
    return status.f_bavail * status.f_frsize > _LARGEST_XATTR


def _impossible(header: Header, name: str, value: bytes, error: OSError) -> InvalidTar:
    reason = (
        f"the attribute {name[:_SHOWN]!r} of {len(value)} bytes can't be set on this file system: "
        f"{error.strerror}"
    )
    return InvalidTar(header.offset, reason, header.entry)
