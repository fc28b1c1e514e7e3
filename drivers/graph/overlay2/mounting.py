"""Mounting a layer: what of it lies where, and whose it is to be.

Owns the mount point and the order. The mount itself is `mount`'s, or `mapped`'s with a map of IDs.
"""

from __future__ import annotations

import contextlib
import errno
import os

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.graph.overlay2.inside import Inside
from layerstore.drivers.graph.overlay2.layout import Layout
from layerstore.drivers.graph.overlay2.mapped import (
    check_mapped_overlays,
    mount_mapped,
    show_mapped,
)
from layerstore.drivers.graph.overlay2.mount import MountOptions, mount_overlay
from layerstore.drivers.graph.overlay2.own import Own
from layerstore.drivers.graph.overlay2.scratch import forgive, with_spare_inodes
from layerstore.drivers.graph.storage_options import StorageOptions
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import USERNS


class Mounting:
    """The mounting of the layers of one home."""

    def __init__(
        self,
        root: str,
        layout: Layout,
        inside: Inside,
        own: Own,
        options: MountOptions,
        views: str,
    ) -> None:
        """`views` is a directory for mounts of a moment."""
        self._root = root
        self._layout = layout
        self._inside = inside
        self._own = own
        self._options = options
        self._views = views
        self._shows_maps = False
        """It was tried, with whichever map."""

    def check(self, options: StorageOptions) -> None:
        """Raise InvalidArgument where a layer can't be mounted as it is asked to be."""
        id_map = options.id_map
        if id_map is not None and self._options.instead is not None:
            reason = "a program that mounts by FUSE takes no layers with a map of IDs"
            raise InvalidArgument(f"{USERNS}={id_map}", reason)
        if id_map is not None and not self._shows_maps:
            check_mapped_overlays(self._root, self._options, id_map)
            self._shows_maps = not self._options.userxattr  # else only its own user's

    def mount(self, layer_id: str, label: str) -> str:
        """Mount a layer and return where; one without a parent is its own tree.

        Raises DriverError, InvalidMetadata.
        """
        path = self._layout.path(layer_id)
        lowers = self._inside.lowers(layer_id)
        own = self._own.directory(layer_id)
        id_map = self._own.options(layer_id).id_map
        if not lowers and id_map is None:
            diff = f"{self._layout.home}/{own}/diff"
            if not os.path.isdir(diff):
                raise DriverError("mount", path, errno.ENOENT)
            return diff
        merged = f"{path}/merged"
        try:
            os.mkdir(merged, 0o700)
        except FileExistsError:
            # Left by a crash, or by an unmount that was cut short; or the layer is in memory.
            _check_directory(merged)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", merged, error) from error
        try:
            with with_spare_inodes(path, self._own.options(layer_id)):
                if id_map is None:
                    self._mount(self._layout.home, layer_id, own, lowers, label)
                else:
                    self._mount_mapped(id_map, layer_id, own, lowers, label)
        except BaseException:
            if not self._own.in_memory(layer_id):
                with contextlib.suppress(OSError):
                    os.rmdir(merged)
            raise
        return merged

    def _mount_mapped(
        self, id_map: IdMap, layer_id: str, own: str, lowers: list[str], label: str
    ) -> None:
        home = self._layout.home
        if not lowers:
            show_mapped(f"{home}/{own}/diff", f"{home}/{layer_id}/merged", id_map)
            return

        def mount(view: str) -> None:
            self._mount(view, layer_id, own, lowers, label)

        inner = [own] if own != layer_id else []
        mount_mapped(self._layout.home, self._views, id_map, mount, inner)

    def _mount(self, home: str, layer_id: str, own: str, lowers: list[str], label: str) -> None:
        target = f"{self._layout.home}/{layer_id}/merged"
        if self._layout.is_committed(layer_id):
            lowers = [f"{own}/diff", *lowers]
            mount_overlay(home, target, self._options, lowers=lowers, label=label)
            return
        volatile = self._own.options(layer_id).scratch == "disk"
        if volatile:
            forgive(f"{self._layout.home}/{own}/work")
        mount_overlay(
            home,
            target,
            self._options,
            lowers=lowers,
            upper=f"{own}/diff",
            work=f"{own}/work",
            label=label,
            volatile=volatile,
        )


def _check_directory(path: str) -> None:
    """Raise DriverError for a link, which would lead a mount elsewhere, or anything else."""
    try:
        os.close(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        raise DriverError.from_os_error("mount on", path, error) from error
