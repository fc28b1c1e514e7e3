"""Choosing the graph driver of a root.

Owns the order of preference: what the root was used with before, then the best that works there.
Only the one that is opened is imported.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from layerstore.drivers.errors import DriverNotSupported, InvalidName, NotPermitted
from layerstore.drivers.system.mountinfo import file_system_of

if TYPE_CHECKING:
    from layerstore.drivers.graph.protocol import GraphDriver


def open_driver(
    name: str | None,
    root: str,
    *,
    durable: bool = True,
    options: Mapping[str, str] | None = None,
) -> tuple[GraphDriver, str]:
    """Open the named driver, or choose one; returns it and a sentence on why it is this one.

    With `durable` what the driver makes is on the disk before its calls return, the content of
    layers aside.

    Raises DriverNotSupported for an unknown driver or one that can't work on `root`, NotPermitted
    where only a privilege is missing, ReadOnlyStorage and DriverError where the root can't be used,
    InvalidName for an option that no driver knows.
    """
    for key in options or {}:
        raise InvalidName(key, "the graph drivers have no such option")
    if name is not None:
        return _open_named(name, root, durable=durable), "it was asked for by name"
    refused: list[str] = []
    for candidate in PREFERENCE:
        if _was_used(candidate, root):
            return _open_named(candidate, root, durable=durable), "the root was used with it before"
    for candidate in PREFERENCE:
        known = DRIVERS[candidate]
        objection = _objection_if_left_to_us(candidate, root)
        if not objection:
            fits = f"the file system ({file_system_of(root)}) and the kernel support {known.needs}"
            return known.open(root, durable), "; ".join(refused) or fits
        refused.append(f"{candidate} can't be used: {objection}")
    raise DriverNotSupported("of any kind", root, "; ".join(refused))


def find_driver(name: str | None, root: str, *, durable: bool) -> tuple[GraphDriver, str]:
    """Open the driver that a root was used with, without trying it; else as open_driver.

    So nothing is written or mounted where only the layout is to be looked at.
    """
    for candidate in PREFERENCE if name is None else (name,):
        if candidate in PREFERENCE and _was_used(candidate, root):
            why = "the root was used with it before"
            return reopen_driver(candidate, root, durable=durable), why
    return open_driver(name, root, durable=durable)


def reopen_driver(name: str, root: str, *, durable: bool) -> GraphDriver:
    """Open a driver that open_driver has chosen for this root, without trying it again."""
    return _known(name, root).open(root, durable)


def _open_named(name: str, root: str, *, durable: bool) -> GraphDriver:
    known = _known(name, root)
    objection = known.why_not(root)
    if objection:
        raise DriverNotSupported(name, root, objection)
    return known.open(root, durable)


def _known(name: str, root: str) -> _Known:
    if name not in DRIVERS:
        raise DriverNotSupported(name, root, f"the graph drivers are {', '.join(PREFERENCE)}")
    return DRIVERS[name]


def _objection_if_left_to_us(name: str, root: str) -> str:
    """Return why a driver that nobody asked for can't be used; a user's lack of rights is one."""
    try:
        return DRIVERS[name].why_not(root)
    except NotPermitted:
        if os.geteuid() == 0:
            raise
        return "mounting needs root"


def _was_used(name: str, root: str) -> bool:
    """Whether the root has layers of this driver. dockerd looks for the same."""
    layers = f"{root}/image/{name}/layerdb"
    return os.path.isdir(layers)


def _overlay2(root: str, durable: bool) -> GraphDriver:
    from layerstore.drivers.graph.overlay2 import Overlay2Driver
    from layerstore.drivers.graph.overlay2_mount import MountOptions

    options = MountOptions.probe()
    status = [
        ("Backing Filesystem", file_system_of(root)),
        ("Supports d_type", "true"),
        ("Native Overlay Diff", "true"),
        ("userxattr", str(options.userxattr).lower()),
        ("Mount options", ",".join(options.flags) or "none"),
    ]
    return Overlay2Driver(root, options, status, durable=durable)


def _no_overlay2(root: str) -> str:
    from layerstore.drivers.graph import overlay2_probe
    from layerstore.drivers.graph.overlay2_mount import MountOptions

    return overlay2_probe.why_not(root, MountOptions.probe())


def _vfs(root: str, durable: bool) -> GraphDriver:
    from layerstore.drivers.graph.vfs import VfsDriver

    return VfsDriver(root, [("Backing Filesystem", file_system_of(root))], durable=durable)


class _Known(NamedTuple):
    """How a graph driver is tried and opened on a root."""

    needs: str
    """What file system and kernel have to have for it."""
    open: Callable[[str, bool], GraphDriver]
    """Gets the root, and whether what is made is on the disk before its call returns."""
    why_not: Callable[[str], str]
    """Returns why the driver can't work on a root, empty if it can. Raises NotPermitted."""


DRIVERS = {
    "overlay2": _Known(
        needs="overlay mounts",
        open=_overlay2,
        why_not=_no_overlay2,
    ),
    "vfs": _Known(needs="files", open=_vfs, why_not=lambda _root: ""),
}
"""Every graph driver by its name, the best one first."""
PREFERENCE = tuple(DRIVERS)
