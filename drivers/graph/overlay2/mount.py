"""Mounting overlay file systems, and unmounting them.

Owns which options every mount gets, and nothing on the disk; how the kernel is told is `ways`'s.
Source: Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidName
from layerstore.drivers.graph.overlay2.ways import WAYS, Stack
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.retry import patiently
from layerstore.drivers.userns.standing import in_user_namespace

_log = logging.getLogger("layerstore")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LABEL = re.compile(r"[A-Za-z0-9_.:,-]*\Z")
_PARAMETERS = "/sys/module/overlay/parameters"


class MountOptions(Struct, frozen=True):
    """The options that every overlay mount of a store gets, as the kernel knows them."""

    flags: tuple[str, ...]
    userxattr: bool
    redirects_elsewhere: bool
    """Mounts without these options record renamed directories and changed metadata in ways that
    only a mount can read, so another engine's layers may hold such records."""
    instead: Callable[..., None] | None = None
    """What mounts in the kernel's place, called as `mount_overlay` without the options."""

    @property
    def whiteouts(self) -> WhiteoutFormat:
        """How what is mounted with these says that something is gone."""
        if self.instead is not None:
            return WhiteoutFormat.FUSE
        return WhiteoutFormat.OVERLAY_USER if self.userxattr else WhiteoutFormat.OVERLAY

    @staticmethod
    def probe() -> MountOptions:
        """Ask the kernel. index=off as moby; redirects off so that a diff can be read natively.

        In a user namespace they are off as well, by the one word that the kernel takes for it
        there: whoever could write a redirect must not be followed.
        """
        userxattr = in_user_namespace()
        off = {"index": "off", "redirect_dir": "off", "metacopy": "off"}
        if userxattr:
            off["redirect_dir"] = "nofollow"
        found = {name: _short_text(f"{_PARAMETERS}/{name}") for name in off}
        flags = [f"{name}={off[name]}" for name, value in found.items() if value is not None]
        if userxattr:
            flags.append("userxattr")
        redirects = any(found[name] in ([b"Y"], [b"1"]) for name in ("redirect_dir", "metacopy"))
        return MountOptions(tuple(flags), userxattr, redirects)


def _short_text(path: str) -> list[bytes] | None:
    """Return the words of a file of the kernel's; None of one that it doesn't know."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, _PAGE).split()
    finally:
        os.close(fd)


def mount_overlay(
    home: str,
    target: str,
    options: MountOptions,
    *,
    lowers: list[str],
    upper: str | None = None,
    work: str | None = None,
    label: str = "",
    volatile: bool = False,
) -> None:
    """Mount at the absolute path `target`; the other paths are relative to `home`.

    Without `upper` the mount is read-only. With `volatile` nothing that is written to it is synced,
    whoever asks for that, where the kernel knows how (5.10). Raises DriverError with the kernel's
    errno.
    """
    label = label if _has_labels(label) else ""
    if options.instead is not None:
        options.instead(
            home, target, lowers=lowers, upper=upper, work=work, label=label, volatile=volatile
        )
        return
    stack = Stack(lowers, upper, work, label)
    try:
        if volatile:
            try:
                _mount(home, target, stack, [*options.flags, "volatile"])
                return
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise  # else a kernel that doesn't know it, or there is another reason
        _mount(home, target, stack, options.flags)
    except OSError as error:
        detail = f"{len(lowers)} lower directories"
        raise DriverError.from_os_error("mount overlay on", target, error, detail) from error


def _mount(home: str, target: str, stack: Stack, flags: Sequence[str]) -> None:
    """Mount in the first way that fits; the last of them is for all that is too long."""
    for way in WAYS:
        if way.fits(home, stack, flags):
            way.mount(home, target, stack, flags)
            return


def check_label(label: str) -> str:
    """Check an SELinux context before it becomes part of a mount's options."""
    if not _LABEL.match(label):
        raise InvalidName(label, "a mount label is letters, digits and any of '_.:,-'")
    return label


def _has_labels(label: str) -> bool:
    """Whether a mount gets a label; a kernel without SELinux knows none."""
    return bool(check_label(label)) and os.path.exists("/sys/fs/selinux/enforce")


def unmount(target: str, *, keep: bool = False) -> None:
    """Unmount, as moby lazily (MNT_DETACH), and remove the mount point, but for `keep`. Idempotent.

    A mount point that can't be removed stays, as in moby: whoever mounts there uses it again.
    """
    _umount(target)
    if keep:
        return
    try:
        _rmdir(target)
    except OSError as error:
        _log.warning("the mount point %s stays for now: %s", target, error)


@patiently
def _umount(target: str) -> None:
    try:
        syscalls.umount(target, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOENT}:
            raise


@patiently
def _rmdir(target: str) -> None:
    try:
        os.rmdir(target)
    except FileNotFoundError:
        return
