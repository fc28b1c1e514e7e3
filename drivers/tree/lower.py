"""Finding a path in a stack of layer directories, as overlayfs would show it.

Owns the rules of whiteouts and opaque directories for look-ups. It changes nothing, never follows
a symbolic link and needs no mount.
Source: the kernel's Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

from msgspec import Struct

from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tree.directories import reached
from layerstore.drivers.tree.whiteouts import PREFIX, is_whiteout_device, named_by
from layerstore.drivers.tree.xattrs import is_opaque

_ANCHOR = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEPS = 12


class Found(Struct, frozen=True):
    """A name as the stack shows it: its uppermost file, and for a directory all that merge."""

    path: str
    """Where the uppermost one lies on the disk; calls may need it `reached`."""
    status: os.stat_result
    merged: tuple[str, ...]
    """For a directory: every layer's directory that is visible, nearest first. Else empty."""


def look_up(layers: Sequence[str], path: str, whiteouts: WhiteoutFormat) -> Found | None:
    """Find `path` (relative, or absolute in the layers) in `layers`, given nearest first.

    None when no layer has it, a whiteout hides it, or something on the way is no directory.
    Components `.` and `..` are refused with ValueError. Raises OSError for what can't be read.
    """
    names = path.strip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        raise ValueError(f"not a clean path: {path!r}")
    with contextlib.ExitStack() as stack:
        anchors = _Anchors(stack, layers)
        for name in names:
            found = look_up_in(anchors.near, name, whiteouts)
            if found is None:
                return None
            found = anchors.go(found, name)
    return found


class _Anchors:
    """The directories that merge at some depth, by paths so short that each step takes as long."""

    def __init__(self, stack: contextlib.ExitStack, layers: Sequence[str]) -> None:
        self._held = stack.enter_context(contextlib.ExitStack())
        self._stack = stack
        self._steps = 0
        self._real = dict(zip(layers, layers, strict=True))

    @property
    def near(self) -> Sequence[str]:
        """Paths of the directories, valid until the next step."""
        return tuple(self._real)

    def go(self, found: Found, name: str) -> Found:
        """Go to what was found by a name in them; return it with the paths where it lies."""

        def real(near: str) -> str:
            return f"{self._real[near[: -len(name) - 1]]}/{name}"

        merged = {near: real(near) for near in found.merged}
        shown = Found(real(found.path), found.status, tuple(merged.values()))
        self._real = merged
        self._steps += 1
        if self._steps % _STEPS == 0:
            self._anchor()
        return shown

    def _anchor(self) -> None:
        with contextlib.ExitStack() as opened:
            anchored = {}
            for near, real in self._real.items():
                fd = os.open(near, _ANCHOR)
                opened.callback(os.close, fd)
                anchored[f"/proc/self/fd/{fd}"] = real
            self._held.close()
            self._held = self._stack.enter_context(opened.pop_all())
        self._real = anchored


def look_up_in(directories: Sequence[str], name: str, whiteouts: WhiteoutFormat) -> Found | None:
    """Find one name in directories that merge with each other, nearest first."""
    top: tuple[str, os.stat_result] | None = None
    merged: list[str] = []
    for directory in directories:
        path = f"{directory}/{name}"
        hidden = whiteouts.by_name and is_named(directory, name)
        try:
            status, hides = _look_at(path, whiteouts)
        except (FileNotFoundError, NotADirectoryError):
            if hidden:
                break
            continue
        if is_whiteout_device(status):
            break
        if not stat.S_ISDIR(status.st_mode):
            top = top or (path, status)
            break
        top = top or (path, status)
        merged.append(path)
        if hides or hidden:
            break
    return None if top is None else Found(*top, tuple(merged))


def is_named(directory: str, name: str) -> bool:
    """Whether a directory has a file whose name says that what is below by `name` is gone."""
    try:
        with reached(f"{directory}/{PREFIX}{name}") as near:
            status = os.lstat(near)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise
    return named_by(PREFIX + name, status) != ""


def _look_at(path: str, whiteouts: WhiteoutFormat) -> tuple[os.stat_result, bool]:
    """Look at what is at a path, and whether it is a directory that hides what is below."""
    with reached(path) as near:
        status = os.lstat(near)
        return status, stat.S_ISDIR(status.st_mode) and is_opaque(near, whiteouts)


def names_in(directories: Sequence[str], whiteouts: WhiteoutFormat) -> Iterator[tuple[str, Found]]:
    """Give every name that is visible in directories that merge with each other, in no order."""
    seen: set[str] = set()
    for directory in directories:
        with reached(directory) as near:
            names = os.listdir(near)
        for name in names:
            if name not in seen and not (whiteouts.by_name and name.startswith(PREFIX)):
                seen.add(name)
                found = look_up_in(directories, name, whiteouts)
                if found is not None:
                    yield name, found
