"""The graph drivers that are built in: how each is tried and opened on a root.

Owns their order, the best first. Only the one that is opened is imported.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from typing import TYPE_CHECKING

from layerstore.drivers.graph.plugin import PROTOCOL, DriverPlugin
from layerstore.drivers.system.mountinfo import file_system_of

if TYPE_CHECKING:
    from layerstore.drivers.graph.protocol import GraphDriver


def _overlay2(root: str, durable: bool) -> GraphDriver:
    from layerstore.drivers.graph.overlay2.driver import Overlay2Driver
    from layerstore.drivers.graph.overlay2.mount import MountOptions

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
    from layerstore.drivers.graph.overlay2 import probe
    from layerstore.drivers.graph.overlay2.mount import MountOptions

    return probe.why_not(root, MountOptions.probe())


def _btrfs(root: str, durable: bool) -> GraphDriver:
    from layerstore.drivers.graph.btrfs import probe
    from layerstore.drivers.graph.btrfs.driver import BtrfsDriver

    return BtrfsDriver(root, probe.status(root), durable=durable)


def _no_btrfs(root: str) -> str:
    from layerstore.drivers.graph.btrfs import probe

    return probe.why_not(root)


def _fuse_overlayfs(root: str, durable: bool) -> GraphDriver:
    from layerstore.drivers.graph.fuse_overlayfs.driver import OPTIONS, FuseOverlayfsDriver

    status = [("Backing Filesystem", file_system_of(root))]
    return FuseOverlayfsDriver(root, OPTIONS, status, durable=durable)


def _no_fuse_overlayfs(root: str) -> str:
    from layerstore.drivers.graph.fuse_overlayfs import probe

    return probe.why_not(root)


def _vfs(root: str, durable: bool) -> GraphDriver:
    from layerstore.drivers.graph.vfs import VfsDriver

    return VfsDriver(root, [("Backing Filesystem", file_system_of(root))], durable=durable)


LAST_RESORT = "vfs"
"""What other packages bring comes before it, where it may be chosen by itself."""
DRIVERS = {
    driver.name: driver
    for driver in (
        DriverPlugin(
            name="overlay2",
            protocol=PROTOCOL,
            needs="overlay mounts",
            open=_overlay2,
            why_not=_no_overlay2,
            automatic=True,
        ),
        DriverPlugin(
            name="btrfs",
            protocol=PROTOCOL,
            needs="subvolumes",
            open=_btrfs,
            why_not=_no_btrfs,
            automatic=True,
        ),
        DriverPlugin(
            name="fuse-overlayfs",
            protocol=PROTOCOL,
            needs="mounts of fuse-overlayfs",
            open=_fuse_overlayfs,
            why_not=_no_fuse_overlayfs,
            automatic=True,
        ),
        DriverPlugin(
            name=LAST_RESORT,
            protocol=PROTOCOL,
            needs="files",
            open=_vfs,
            why_not=lambda _root: "",
            automatic=True,
        ),
    )
}
"""Every graph driver that is built in by its name, the best one first."""
PREFERENCE = tuple(DRIVERS)
