"""The fuse-overlayfs graph driver: overlay2's directories, joined by a program.

Owns what differs from overlay2: who mounts, and how layers are compared that aren't each other's
parents, in a process that may neither mount nor run a program. Compatible with moby's
daemon/graphdriver/fuse-overlayfs.
"""

# ruff: noqa: PLC0415 - tars are a child's work: see drivers/worker/child

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.fuse_overlayfs.program import mount_fuse, sync_mount
from layerstore.drivers.graph.overlay2.driver import Overlay2Driver
from layerstore.drivers.graph.overlay2.mount import MountOptions
from layerstore.drivers.model.tree import PLAIN, Change, TarStyle
from layerstore.drivers.tree import changes
from layerstore.drivers.tree.stack import walk_stack

OPTIONS = MountOptions((), userxattr=False, redirects_elsewhere=False, instead=mount_fuse)


class FuseOverlayfsDriver(Overlay2Driver):
    """GraphDriver on fuse-overlayfs; see the protocol for every method."""

    name = "fuse-overlayfs"

    def put(self, layer_id: str) -> None:
        """See GraphDriver. What was written is the program's first; with the mount it ends."""
        if self.may_be_mounted(layer_id):
            sync_mount(f"{self._layout.path(layer_id)}/merged")
        super().put(layer_id)

    def diff(
        self, layer_id: str, parent: str | None, out: BinaryIO, style: TarStyle = PLAIN
    ) -> None:
        """See GraphDriver."""
        from layerstore.drivers.tar import write as tar_write

        if self._layout.is_parent(layer_id, parent):
            super().diff(layer_id, parent, out, style)
            return
        tree = self.tree(layer_id)
        found = self._compared(layer_id, parent)
        tar_write.write_changes(tree.root, found, out, style, tree)

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """See GraphDriver."""
        if self._layout.is_parent(layer_id, parent):
            return super().changes(layer_id, parent)
        return self._compared(layer_id, parent)

    def _compared(self, layer_id: str, other: str | None) -> list[Change]:
        """Compare what two layers show."""
        new = self.tree(layer_id)
        old = self.tree(other) if other is not None else None
        below = walk_stack((old.root, *old.lowers), old.whiteouts) if old is not None else ()
        try:
            return changes.compared(walk_stack((new.root, *new.lowers), new.whiteouts), below)
        except OSError as error:
            raise DriverError.from_os_error_in("compare", new.root, error) from error
