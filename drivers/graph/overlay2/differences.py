"""How two layers differ: by the upper one's own files, or else by what both show.

Owns views: mounts of whole trees for one comparison, which end with their process.
"""

# ruff: noqa: PLC0415 - tars are a child's work: see drivers/worker/child

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.overlay2.inside import Inside
from layerstore.drivers.graph.overlay2.layout import Layout
from layerstore.drivers.graph.overlay2.mount import MountOptions, mount_overlay, unmount
from layerstore.drivers.graph.overlay2.own import Own
from layerstore.drivers.model.tree import Change, TarStyle
from layerstore.drivers.tree import changes
from layerstore.drivers.tree.size import tree_size


class Differences:
    """Comparisons of the layers of one home."""

    def __init__(
        self, layout: Layout, inside: Inside, own: Own, options: MountOptions, views: str
    ) -> None:
        """Make the means; `views` is the directory in which mounts are made."""
        self._layout = layout
        self._inside = inside
        self._own = own
        self._options = options
        self._views = views

    def write(self, layer_id: str, parent: str | None, out: BinaryIO, style: TarStyle) -> None:
        """See GraphDriver.diff. Against another layer than its parent, mounts are compared."""
        from layerstore.drivers.tar import write as tar_write

        if self._is_native(layer_id, parent):
            tar_write.write_diff(self._own.tree(layer_id), out, style)
            return
        with self._view(layer_id) as new, self._view(parent) as old:
            found = changes.tree_changes(new, old or None)
            tar_write.write_changes(new, found, out, style)

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """See GraphDriver."""
        if self._is_native(layer_id, parent):
            return changes.overlay_changes(self._own.tree(layer_id))
        with self._view(layer_id) as new, self._view(parent) as old:
            return changes.tree_changes(new, old or None)

    def size(self, layer_id: str) -> int:
        """See GraphDriver.diff_size."""
        path = f"{self._layout.home}/{self._own.directory(layer_id)}/diff"
        try:
            return tree_size(path)
        except OSError as error:
            raise DriverError.from_os_error("measure", path, error) from error

    def _is_native(self, layer_id: str, parent: str | None) -> bool:
        """Whether the layer's own directory tells all that differs from `parent`."""
        if not self._layout.is_parent(layer_id, parent):
            return False
        if not self._options.redirects_elsewhere:
            return True
        try:
            changes.overlay_changes(self._own.tree(layer_id))
        except changes.RedirectedTree:
            return False
        return True

    @contextlib.contextmanager
    def _view(self, layer_id: str | None) -> Iterator[str]:
        """Show a layer's whole tree, read-only, at a path that only this process can use.

        The mount is detached as soon as it is held by a descriptor, so it ends with the process.
        """
        if layer_id is None:
            yield ""
            return
        own = f"{self._own.directory(layer_id)}/diff"
        lowers = self._inside.lowers(layer_id)
        if not lowers:
            yield f"{self._layout.home}/{own}"
            return
        point = f"{self._views}/{os.urandom(8).hex()}"
        os.mkdir(point, 0o700)
        try:
            mount_overlay(self._layout.home, point, self._options, lowers=[own, *lowers])
            fd = os.open(point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            unmount(point)
        try:
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
