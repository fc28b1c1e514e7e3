"""Choosing the graph driver of a root.

Owns the order of preference: what the root was used with before, then the best that works there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from layerstore.drivers.errors import DriverNotSupported, InvalidName, NotPermitted
from layerstore.drivers.graph import overlay2_probe
from layerstore.drivers.graph.overlay2 import Overlay2Driver
from layerstore.drivers.graph.overlay2_mount import MountOptions
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.graph.vfs import VfsDriver
from layerstore.drivers.system.mountinfo import file_system_of

PREFERENCE = ("overlay2", "vfs")


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
    for candidate in PREFERENCE:
        if _was_used(candidate, root):
            return _open_named(candidate, root, durable=durable), "the root was used with it before"
    fstype = file_system_of(root)
    mount_options = MountOptions.probe()
    try:
        objection = overlay2_probe.why_not(root, mount_options)
    except NotPermitted:
        if os.geteuid() == 0:
            raise
        objection = "mounting needs root"
    if not objection:
        why = f"the file system ({fstype}) and the kernel support overlay mounts"
        return _overlay2(root, mount_options, durable=durable), why
    return _vfs(root, durable=durable), f"overlay2 can't be used: {objection}"


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
    if name == "vfs":
        return _vfs(root, durable=durable)
    return _overlay2(root, MountOptions.probe(), durable=durable)


def _open_named(name: str, root: str, *, durable: bool) -> GraphDriver:
    if name == "vfs":
        return _vfs(root, durable=durable)
    if name != "overlay2":
        raise DriverNotSupported(name, root, f"the graph drivers are {', '.join(PREFERENCE)}")
    options = MountOptions.probe()
    objection = overlay2_probe.why_not(root, options)
    if objection:
        raise DriverNotSupported(name, root, objection)
    return _overlay2(root, options, durable=durable)


def _was_used(name: str, root: str) -> bool:
    """Whether the root has layers of this driver. dockerd looks for the same."""
    layers = f"{root}/image/{name}/layerdb"
    return os.path.isdir(layers)


def _overlay2(root: str, options: MountOptions, *, durable: bool) -> Overlay2Driver:
    status = [
        ("Backing Filesystem", file_system_of(root)),
        ("Supports d_type", "true"),
        ("Native Overlay Diff", "true"),
        ("userxattr", str(options.userxattr).lower()),
        ("Mount options", ",".join(options.flags) or "none"),
    ]
    return Overlay2Driver(root, options, status, durable=durable)


def _vfs(root: str, *, durable: bool) -> VfsDriver:
    return VfsDriver(root, [("Backing Filesystem", file_system_of(root))], durable=durable)
