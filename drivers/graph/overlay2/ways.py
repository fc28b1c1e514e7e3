"""The ways to tell the kernel what an overlay is made of, and around the limits of each.

Owns them, the quickest first. mount(2) takes a page of options, in which some characters can't be
part of a path; then paths are given relative to the home, from a thread with a working directory of
its own (unshare(2), CLONE_FS), so that the process's stays what it is. What is too long even so is
given one by one (`lowerdir+` of fsconfig(2), from Linux 6.5), which takes longest: a system call
for each. Sources: Documentation/filesystems/overlayfs.rst, mount(2), fsconfig(2).
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from layerstore.drivers.system import syscalls

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SPECIAL = re.compile(r'[,:\\"\n]')


class Stack(Struct, frozen=True):
    """What is mounted, by paths relative to the home; without an upper directory to be read."""

    lowers: list[str]
    upper: str | None = None
    work: str | None = None
    label: str = ""
    """An SELinux context, which was checked."""

    def options(self, flags: Sequence[str], prefix: str) -> str:
        """Return the options as mount(2) has them, paths beginning with `prefix`."""
        parts = [*flags, "lowerdir=" + ":".join(prefix + lower for lower in self.lowers)]
        if self.upper is not None:
            parts.append(f"upperdir={prefix}{self.upper}")
            parts.append(f"workdir={prefix}{self.work}")
        if self.label:
            parts.append(f'context="{self.label}"')
        return ",".join(parts)


class Way(NamedTuple):
    """One way; flags are options that every mount of a store gets."""

    name: str
    fits: Callable[[str, Stack, Sequence[str]], bool]
    """Gets the home. Whether the kernel can be told so."""
    mount: Callable[[str, str, Stack, Sequence[str]], None]
    """Gets the home, and the absolute path to mount at. Raises OSError."""


def _fits_at_once(home: str, stack: Stack, flags: Sequence[str]) -> bool:
    return not _SPECIAL.search(home) and _is_short(stack.options(flags, f"{home}/"))


def _is_short(options: str) -> bool:
    return len(os.fsencode(options)) < _PAGE


def _mount_at_once(home: str, target: str, stack: Stack, flags: Sequence[str]) -> None:
    syscalls.mount("overlay", target, "overlay", 0, stack.options(flags, f"{home}/"))


def _mount_from_home(home: str, target: str, stack: Stack, flags: Sequence[str]) -> None:
    failures: list[OSError] = []

    def mount() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_FS)
            os.chdir(home)
            syscalls.mount("overlay", target, "overlay", 0, stack.options(flags, ""))
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=mount, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _mount_one_by_one(home: str, target: str, stack: Stack, flags: Sequence[str]) -> None:
    """Mount with each layer an option of its own, whose value has less than 256 bytes.

    So paths begin with a descriptor of the home, which has no special character either.
    """
    try:
        made = syscalls.fsopen("overlay")
    except OSError as error:
        raise _too_long(target) from error
    at = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    prefix = f"/proc/self/fd/{at}/"
    try:
        syscalls.fsconfig(made, "source", "overlay")
        for flag in flags:
            name, _, value = flag.partition("=")
            syscalls.fsconfig(made, name, value or None)
        if stack.label:
            syscalls.fsconfig(made, "context", stack.label)
        _add_lowers(made, [prefix + lower for lower in stack.lowers], target)
        if stack.upper is not None:
            syscalls.fsconfig(made, "upperdir", f"{prefix}{stack.upper}")
            syscalls.fsconfig(made, "workdir", f"{prefix}{stack.work}")
        mount = syscalls.fsmount(made)
    finally:
        os.close(at)
        os.close(made)
    try:
        syscalls.move_mount(mount, target)
    finally:
        os.close(mount)


def _add_lowers(made: int, paths: Sequence[str], target: str) -> None:
    try:
        syscalls.fsconfig(made, "lowerdir+", paths[0])
    except OSError as error:
        if error.errno == errno.EINVAL:  # a kernel that doesn't know it, before 6.5
            raise _too_long(target) from error
        raise
    for path in paths[1:]:
        syscalls.fsconfig(made, "lowerdir+", path)


def _too_long(target: str) -> OSError:
    return OSError(errno.E2BIG, os.strerror(errno.E2BIG), target)


WAYS = (
    Way("mount(2)", _fits_at_once, _mount_at_once),
    Way(
        "mount(2) from the home",
        lambda _home, stack, flags: _is_short(stack.options(flags, "")),
        _mount_from_home,
    ),
    Way("lowerdir+", lambda _home, _stack, _flags: True, _mount_one_by_one),
)
