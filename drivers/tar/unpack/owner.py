"""Who owns a file made from a tar member, its permissions, extended attributes and times.

Owns the order in which these are set (a change of owner drops capabilities and set-user-ID bits)
and what is left out. It makes no files and never follows a symbolic link.
Source: moby's archive.createTarFile.
"""

from __future__ import annotations

import errno
import os
import stat

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.unpack.unset import Unset
from layerstore.drivers.tree.xattrs import (
    CAPABILITY,
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


def set_on_descriptor(fd: int, header: Header, unset: Unset) -> None:
    """Set owner, attributes and permissions of an open file or directory, not its times."""
    os.fchown(fd, header.uid, header.gid)
    if header.xattrs:
        _set_xattrs(fd, header, unset)
    os.fchmod(fd, header.mode & _PERMISSIONS)


def drop_xattrs(fd: int, header: Header) -> None:
    """Remove the attributes of a directory that was there already and that its member hasn't got.

    Source: OCI image layer specification, "Applying Changesets": the existing path's attributes
    are replaced by those of the entry. (moby adds to them where its tree is a copy.)
    """
    for name in list_xattrs(fd):
        if belongs_in_tar(name) and name not in header.xattrs:
            os.removexattr(fd, name)


def set_on_name(directory: int, name: bytes, header: Header, kind: int, unset: Unset) -> None:
    """Set everything of a file that can't be opened; `kind` is its st_mode.

    The permissions of a symbolic link are none of Linux's business.
    """
    os.chown(name, header.uid, header.gid, dir_fd=directory, follow_symlinks=False)
    if header.xattrs:
        _set_xattrs(b"/proc/self/fd/%d/%b" % (directory, name), header, unset)
    if not stat.S_ISLNK(kind):
        os.chmod(name, header.mode & _PERMISSIONS, dir_fd=directory)
    os.utime(name, ns=times(header), dir_fd=directory, follow_symlinks=False)


def set_on_link(directory: int, name: bytes, header: Header, kind: int, unset: Unset) -> None:
    """Set everything of a file once more, as the member of another of its names says it.

    A change of owner, even to the same one, takes a file's capabilities. They are the file's, not
    the name's, and writers of tars say them once: so they are given back, unless the member has
    others.
    """
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    kept = None if CAPABILITY in header.xattrs else get_xattr(path, CAPABILITY)
    set_on_name(directory, name, header, kind, unset)
    if kept is not None:
        set_xattr(path, CAPABILITY, kept)


def _set_xattrs(target: int | bytes, header: Header, unset: Unset) -> None:
    for name, value in header.xattrs.items():
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
