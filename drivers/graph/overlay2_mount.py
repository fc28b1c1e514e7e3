"""Mounting overlay file systems: options, and the ways around their limits.

Owns the mount options and nothing on the disk. Sources: Documentation/filesystems/overlayfs.rst and
mount(2), whose option string is at most a page long and may not hold some characters; then paths
are given relative to the home, from a thread with a working directory of its own (unshare(2),
CLONE_FS), so that the process's stays what it is.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidName
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.retry import patiently

_log = logging.getLogger("layerstore")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SPECIAL = re.compile(r'[,:\\"\n]')
_LABEL = re.compile(r"[A-Za-z0-9_.:,-]*\Z")
_PARAMETERS = "/sys/module/overlay/parameters"


class MountOptions(Struct, frozen=True):
    """The options that every overlay mount of a store gets, as the kernel knows them."""

    flags: tuple[str, ...]
    userxattr: bool
    redirects_elsewhere: bool
    """Mounts without these options record renamed directories and changed metadata in ways that
    only a mount can read, so another engine's layers may hold such records."""

    @staticmethod
    def probe() -> MountOptions:
        """Ask the kernel. index=off as moby; redirects off so that a diff can be read natively."""
        flags = [
            f"{parameter}=off"
            for parameter in ("index", "redirect_dir", "metacopy")
            if os.path.exists(f"{_PARAMETERS}/{parameter}")
        ]
        userxattr = in_user_namespace()
        if userxattr:
            flags.append("userxattr")
        redirects = any(_is_on(parameter) for parameter in ("redirect_dir", "metacopy"))
        return MountOptions(tuple(flags), userxattr, redirects)


def _is_on(parameter: str) -> bool:
    try:
        with open(f"{_PARAMETERS}/{parameter}", encoding="ascii") as file:
            return file.read().strip() in {"Y", "1"}
    except FileNotFoundError:
        return False  # a kernel that doesn't know it doesn't do it


def in_user_namespace() -> bool:
    """Whether this process lives in a user namespace other than the first."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as table:
            return table.read().split() != ["0", "0", "4294967295"]
    except FileNotFoundError:
        return False  # a kernel without user namespaces


def mount_overlay(
    home: str,
    target: str,
    options: MountOptions,
    *,
    lowers: list[str],
    upper: str | None = None,
    work: str | None = None,
    label: str = "",
) -> None:
    """Mount at the absolute path `target`; the other paths are relative to `home`.

    Without `upper` the mount is read-only. Raises DriverError with the kernel's errno.
    """
    suffix = _label_option(label)
    data = _data(lowers, upper, work, options, f"{home}/") + suffix
    try:
        if len(os.fsencode(data)) < _PAGE and not _SPECIAL.search(home):
            syscalls.mount("overlay", target, "overlay", 0, data)
        else:
            _mount_from(home, target, _data(lowers, upper, work, options, "") + suffix)
    except OSError as error:
        detail = f"{len(lowers)} lower directories"
        raise DriverError.from_os_error("mount overlay on", target, error, detail) from error


def _data(
    lowers: list[str], upper: str | None, work: str | None, options: MountOptions, prefix: str
) -> str:
    parts = list(options.flags)
    parts.append("lowerdir=" + ":".join(prefix + lower for lower in lowers))
    if upper is not None:
        parts.append(f"upperdir={prefix}{upper}")
        parts.append(f"workdir={prefix}{work}")
    return ",".join(parts)


def _mount_from(home: str, target: str, data: str) -> None:
    if len(os.fsencode(data)) >= _PAGE:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), target)
    failures: list[OSError] = []

    def mount() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_FS)
            os.chdir(home)
            syscalls.mount("overlay", target, "overlay", 0, data)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=mount, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def check_label(label: str) -> str:
    """Check an SELinux context before it becomes part of a mount's options."""
    if not _LABEL.match(label):
        raise InvalidName(label, "a mount label is letters, digits and any of '_.:,-'")
    return label


def _label_option(label: str) -> str:
    """Return the mount option; a kernel without SELinux knows no labels, so there it is empty."""
    if not check_label(label) or not os.path.exists("/sys/fs/selinux/enforce"):
        return ""
    return f',context="{label}"'


def unmount(target: str) -> None:
    """Unmount, as moby lazily (MNT_DETACH), and remove the mount point. Idempotent.

    A mount point that can't be removed stays, as in moby: whoever mounts there uses it again.
    """
    _umount(target)
    try:
        _rmdir(target)
    except OSError as error:
        _log.warning("the mount point %s stays for now: %s", target, error)


@patiently
def _umount(target: str) -> None:
    try:
        syscalls.umount(target, syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOENT}:
            raise


@patiently
def _rmdir(target: str) -> None:
    try:
        os.rmdir(target)
    except FileNotFoundError:
        return
