"""Owners, permissions and devices that a process may not give a file, kept in an attribute of it.

Owns the attribute's form, and when it is believed. The form is that of containers-storage and
fuse-overlayfs, `UID:GID:MODE[:TYPE]`, MODE in octal. A file that has it belongs to whoever unpacked
it: root of a user namespace, or an ordinary user. So no other user of a container forges an owner
by setting it, and root there could as well be the owner of what it makes.
Sources: containers/storage, pkg/idtools, ContainersOverrideXattr; fuse-overlayfs(1),
"xattr_permissions".
"""

from __future__ import annotations

import errno
import functools
import os
import re
import stat

from msgspec import Struct

from layerstore.drivers.system import syscalls
from layerstore.drivers.tree.xattrs import OVERRIDE, set_xattr

_CAP_CHOWN, _CAP_DAC_OVERRIDE = 1 << 0, 1 << 1
_ELEVATING = stat.S_ISUID | stat.S_ISGID
_LARGEST_ID = 0xFFFFFFFE
_FORM = re.compile(
    rb"(\d{1,10}):(\d{1,10}):([0-7]{1,7})(?::(?:([a-z]+)(?:-(\d{1,10})-(\d{1,10}))?)[-\w]*)?",
    re.ASCII,
)
_KINDS = {
    b"file": stat.S_IFREG,
    b"dir": stat.S_IFDIR,
    b"char": stat.S_IFCHR,
    b"block": stat.S_IFBLK,
}
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)


class Kept(Struct, frozen=True):
    """What a file is meant to be."""

    uid: int
    gid: int
    mode: int
    """Type and permissions, as st_mode has them."""
    device: int = 0

    def text(self) -> bytes:
        """Return the attribute's value."""
        kind = stat.S_IFMT(self.mode)
        name = next(name for name, known in _KINDS.items() if known == kind)
        if kind in _DEVICES:
            name += b"-%d-%d" % (os.major(self.device), os.minor(self.device))
        return b"%d:%d:%04o:%b" % (self.uid, self.gid, stat.S_IMODE(self.mode), name)


def may_own(error: OSError) -> bool:
    """Whether a change of owner has failed because this process has no such ID to give.

    In a user namespace it isn't in the map; an ordinary user has its own alone. A file system that
    refuses root is another matter.
    """
    if error.errno == errno.EINVAL:
        return True
    return error.errno == errno.EPERM and not _capabilities() & _CAP_CHOWN


def shown(mode: int, *, foreign: bool) -> int:
    """Return the permissions that a file gets, of a mode with its type.

    Nobody is to gain by a `foreign` owner's set-user-ID bit; and who has no way around permissions
    has to be able to read it, and to write to it.
    """
    found = stat.S_IMODE(mode)
    if foreign:
        found &= ~_ELEVATING
    return found if minds_no_permissions() else found | _needed(mode)


@functools.cache
def minds_no_permissions() -> bool:
    """Whether this process reads and writes files whatever their permissions."""
    return bool(_capabilities() & _CAP_DAC_OVERRIDE)


def keep(target: int | bytes, kept: Kept) -> None:
    """Note what a regular file or a directory is meant to be. Raises OSError."""
    set_xattr(target, OVERRIDE, kept.text())


def is_device(text: bytes) -> bool:
    """Whether the attribute of a regular file says that this stands for a device."""
    kept = parse(text, stat.S_IFREG)
    return kept is not None and stat.S_IFMT(kept.mode) in _DEVICES


def meant(status: os.stat_result, text: bytes) -> Kept | None:
    """Return what a file with the attribute is meant to be; None where it isn't to be believed.

    Permissions that were changed since are the file's own.
    """
    mode = status.st_mode
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        return None
    kept = parse(text, stat.S_IFMT(mode))
    if kept is None:
        return None
    kind = stat.S_IFMT(kept.mode)
    is_device = kind in _DEVICES and stat.S_ISREG(mode) and not status.st_size
    if not (is_device or kind == stat.S_IFMT(mode)):
        return None
    given = {stat.S_IMODE(kept.mode), stat.S_IMODE(kept.mode) & ~_ELEVATING}
    given |= {one | _needed(mode) for one in given}
    permissions = kept.mode if stat.S_IMODE(mode) in given else mode
    return Kept(kept.uid, kept.gid, kind | stat.S_IMODE(permissions), kept.device)


def parse(text: bytes, otherwise: int) -> Kept | None:
    """Read the attribute's value; `otherwise` is the type where none is said. None for no such."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    uid, gid, mode = int(found[1]), int(found[2]), int(found[3], 8)
    kind = otherwise if found[4] is None else _KINDS.get(found[4], 0)
    major, minor = int(found[5] or 0), int(found[6] or 0)
    if max(uid, gid) > _LARGEST_ID or not kind or max(major, minor) > 0xFFFFF or major > 0xFFF:
        return None
    device = os.makedev(major, minor) if kind in _DEVICES else 0
    return Kept(uid, gid, kind | stat.S_IMODE(mode), device)


@functools.cache
def _capabilities() -> int:
    """Return what this process may do; asked once, as it gives up none of these that it has."""
    return syscalls.permitted_capabilities()


def _needed(mode: int) -> int:
    return stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR
