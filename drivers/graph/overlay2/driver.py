"""The overlay2 graph driver: every layer a directory of its own, joined by kernel overlayfs.

Owns the decisions; the layout is `layout`'s and mounting `mount`'s. Compatible with
moby's daemon/graphdriver/overlay2.
"""

# ruff: noqa: PLC0415 - tars and checks are a child's work: see drivers/worker/child

from __future__ import annotations

import contextlib
import copy
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO

from layerstore.drivers.errors import DriverError, InternalError
from layerstore.drivers.graph.kept_options import read_kept
from layerstore.drivers.graph.overlay2.differences import Differences
from layerstore.drivers.graph.overlay2.inside import Inside
from layerstore.drivers.graph.overlay2.layout import Layout
from layerstore.drivers.graph.overlay2.mount import (
    MountOptions,
    check_label,
    unmount,
)
from layerstore.drivers.graph.overlay2.mounting import Mounting
from layerstore.drivers.graph.overlay2.own import Own
from layerstore.drivers.graph.overlay2.scratch import (
    MEMORY,
    clear_memory,
    unmount_memory,
    with_spare_inodes,
)
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.graph.storage_options import SCRATCH, SIZE, StorageOptions, storage_options
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import is_layer_store_id
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import (
    PLAIN,
    Applied,
    Change,
    LayerTree,
    TarStyle,
)
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.work import USERNS

_log = logging.getLogger("layerstore")


class Overlay2Driver(GraphDriver):
    """GraphDriver on kernel overlayfs; see the protocol for every method."""

    name = "overlay2"

    def __init__(
        self, root: str, options: MountOptions, status: list[tuple[str, str]], *, durable: bool
    ) -> None:
        self._layout = Layout(root, self.name, durable=durable)
        self._durable = durable
        self._options = options
        self._status = status
        self._views = f"{root}/layerstore/views"
        self._own = Own(self._layout, options.whiteouts)
        inside = Inside(self._layout)
        self._differences = Differences(self._layout, inside, self._own, options, self._views)
        self._mounting = Mounting(root, self._layout, inside, self._own, options, self._views)

    @property
    def home(self) -> str:
        """See GraphDriver."""
        return self._layout.home

    @property
    def copies(self) -> bool:
        """See GraphDriver."""
        return False

    def usage(self, layer_id: str) -> int | None:
        """See GraphDriver. Those of a layer with a bound are counted."""
        return self._own.usage(layer_id)

    @contextlib.contextmanager
    def near(self) -> Iterator[Overlay2Driver]:
        """See GraphDriver."""
        with self._layout.near() as layout:
            near = copy.copy(self)
            near._layout = layout
            near._own = self._own.near(layout)
            yield near

    def prepare(self) -> None:
        """Make the home's directories."""
        self._layout.prepare()
        try:
            os.makedirs(self._views, mode=0o700, exist_ok=True)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", self._views, error) from error

    def tidy(self) -> None:
        """See GraphDriver. Takes down views, removes short links without a layer, and what resets
        that were cut off have left in memory.
        """
        try:
            for name in os.listdir(self._views):
                unmount(f"{self._views}/{name}")
        except OSError as error:
            raise DriverError.from_os_error("clean", self._views, error) from error
        self._layout.tidy()
        for layer_id in self._mounted_at(MEMORY):
            if is_layer_store_id(layer_id):
                clear_memory(self._layout.path(layer_id))

    def status(self) -> list[tuple[str, str]]:
        """See GraphDriver."""
        return list(self._status)

    def ids(self) -> Iterator[str]:
        """See GraphDriver."""
        return self._layout.ids()

    def exists(self, layer_id: str) -> bool:
        """See GraphDriver."""
        return os.path.isdir(self._layout.path(layer_id))

    def create(self, layer_id: str, parent: str | None) -> list[str]:
        """See GraphDriver."""
        return self._own.make(layer_id, parent, StorageOptions())

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
    ) -> list[str]:
        """See GraphDriver. Knows `size`, `scratch` and `userns`."""
        check_label(mount_label)
        options = storage_options(self.name, storage_opt, (SIZE, SCRATCH, USERNS))
        if layer_id.endswith("-init"):
            # What lies in it the store itself makes, and is read from below the layer itself.
            options = StorageOptions(scratch="disk" if options.scratch else "")
        self._mounting.check(options)
        return self._own.make(layer_id, parent, options)

    def fork(self, layer_id: str, source_id: str, parent: str | None) -> list[str]:
        """See GraphDriver."""
        self._own.directory(source_id)  # where its content counts no more, that is said now
        return self._own.make(layer_id, parent, self._own.options(source_id))

    def fill(self, layer_id: str, source_id: str) -> None:
        """See GraphDriver. The source's own files are copied, with its whiteouts."""
        from layerstore.drivers.graph.overlay2.forking import fill_upper

        source, target = (self._own.directory(each) for each in (source_id, layer_id))
        fill_upper(f"{self.home}/{source}/diff", f"{self.home}/{target}/diff")

    def reset(self, layer_id: str, spare_id: str, parent: str | None, trash: str) -> None:  # noqa: ARG002
        """See GraphDriver. Its own files are all that it has."""
        from layerstore.drivers.graph.overlay2.forking import reset_in_memory, reset_layer

        own = f"{self.home}/{self._own.directory(layer_id)}"
        if self._own.in_memory(layer_id):
            path = self._layout.path(layer_id)
            clear_memory(path)
            with with_spare_inodes(path, self._own.options(layer_id)):
                reset_in_memory(own, spare_id)
        else:
            durable = self._durable and not self._own.options(layer_id).scratch
            reset_layer(own, self._layout.path(spare_id), trash, durable=durable)

    def remove(self, layer_id: str, trash: str, *, unmounted: bool = False) -> None:
        """See GraphDriver. What is still mounted is unmounted first, lest a sweep enter it.

        Content in memory is let go of afterwards: where the layer can't be moved, it is whole.
        """
        mounted = not unmounted and self.may_be_mounted(layer_id)
        if mounted:
            self.put(layer_id)
        self._own.forget(layer_id)
        thrown = self._layout.take_away(layer_id, trash)
        if mounted:
            try:
                unmount_memory(thrown)
            except DriverError as error:
                _log.warning("it stays until the trash is emptied: %s", error)

    def get(self, layer_id: str, mount_label: str = "") -> str:
        """See GraphDriver. A layer without a parent is its own tree, mounted only with a map."""
        return self._mounting.mount(layer_id, mount_label)

    def put(self, layer_id: str) -> None:
        """See GraphDriver. The content of a layer in memory stays."""
        path = self._layout.path(layer_id)
        self._unmount(f"{path}/merged", keep=self._own.in_memory(layer_id))

    def _unmount(self, merged: str, *, keep: bool) -> None:
        try:
            unmount(merged, keep=keep)
        except OSError as error:
            raise DriverError.from_os_error("unmount", merged, error) from error

    def mounted(self) -> set[str]:
        """See GraphDriver."""
        return self._mounted_at("merged")

    def _mounted_at(self, name: str) -> set[str]:
        prefix, suffix = f"{self._layout.home}/", f"/{name}"
        return {
            point.path[len(prefix) : -len(suffix)]
            for point in mount_points(self._layout.home)
            if point.path.startswith(prefix) and point.path.endswith(suffix)
        }

    def may_be_mounted(self, layer_id: str) -> bool:
        """See GraphDriver. The mount point is there; what is mounted in there, nobody asks."""
        return self._layout.may_be_mounted(layer_id)

    def lend(self, layer_id: str) -> int | None:
        """See Lends. The content of a layer in memory."""
        return self._own.lend(layer_id)

    def borrow(self, layer_id: str, lent: int) -> AbstractContextManager[None]:
        """See Lends."""
        return self._own.borrow(layer_id, lent)

    def id_map(self, layer_id: str) -> str:
        """See GraphDriver."""
        return read_kept(self._layout.path(layer_id)).userns

    def give_map(self, layer_id: str, id_map: str) -> list[str]:
        """See GraphDriver."""
        return self._own.give_map(layer_id, id_map)

    def metadata(self, layer_id: str) -> dict[str, str]:
        """See GraphDriver. moby: overlay2 GetMetadata."""
        path = self._layout.path(layer_id)
        own = f"{path}/{MEMORY}" if self._own.in_memory(layer_id) else path
        found = {"WorkDir": f"{own}/work", "UpperDir": f"{own}/diff"}
        lowers = self._layout.lower_directories(layer_id)
        if lowers or self.id_map(layer_id):
            found["MergedDir"] = f"{path}/merged"
        if lowers:
            found["LowerDir"] = ":".join(lowers)
        return found | self._own.facts(layer_id)

    def tree(self, layer_id: str) -> LayerTree:
        """See GraphDriver."""
        return self._own.tree(layer_id)

    def apply_diff(
        self,
        layer_id: str,
        parent: str | None,  # noqa: ARG002 - the layer knows its parent
        source: BinaryIO,
        *,
        tar_split: BinaryIO | None = None,
        limits: Limits | None = None,
        tree: LayerTree | None = None,
    ) -> Applied:
        """See GraphDriver."""
        from layerstore.drivers.tar.unpack import apply as tar_apply

        tree = tree or self.tree(layer_id)
        return tar_apply.apply_tar(source, tree, tar_split=tar_split, limits=limits)

    def diff(
        self, layer_id: str, parent: str | None, out: BinaryIO, style: TarStyle = PLAIN
    ) -> None:
        """See GraphDriver."""
        self._differences.write(layer_id, parent, out, style)

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """See GraphDriver."""
        return self._differences.changes(layer_id, parent)

    def diff_size(self, layer_id: str, parent: str | None) -> int:  # noqa: ARG002
        """See GraphDriver."""
        return self._differences.size(layer_id)

    def faults(self, layers: Mapping[str, str | None]) -> Iterable[Fault]:
        """See GraphDriver."""
        from layerstore.drivers.graph.overlay2 import check

        return check.OverlayCheck(self._layout, layers).faults()

    def mend(self, kind: FaultKind, layer_id: str) -> None:
        """See GraphDriver."""
        from layerstore.drivers.graph.overlay2 import check

        match kind:
            case FaultKind.OVERLAY_SHORT_LINK:
                check.mend_short_link(self._layout, layer_id)
            case FaultKind.OVERLAY_WORK:
                check.mend_work(self._layout, layer_id)
            case _:
                raise InternalError("overlay2", f"no fault {kind} can be mended")
