"""The overlay2 graph driver: every layer a directory of its own, joined by kernel overlayfs.

Owns the decisions; the layout is overlay2_layout's and mounting overlay2_mount's. Compatible with
moby's daemon/graphdriver/overlay2.
"""

# ruff: noqa: PLC0415 - tars and checks are a child's work: see drivers/worker/child

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from layerstore.drivers.errors import DriverError, InternalError, InvalidName
from layerstore.drivers.graph.overlay2_layout import Layout
from layerstore.drivers.graph.overlay2_mount import (
    MountOptions,
    check_label,
    mount_overlay,
    unmount,
)
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import (
    PLAIN,
    Applied,
    Change,
    LayerTree,
    TarStyle,
    WhiteoutFormat,
)
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.tree import changes
from layerstore.drivers.tree.size import tree_size


class Overlay2Driver:
    """GraphDriver on kernel overlayfs; see the protocol for every method."""

    name = "overlay2"

    def __init__(
        self, root: str, options: MountOptions, status: list[tuple[str, str]], *, durable: bool
    ) -> None:
        self._layout = Layout(root, durable=durable)
        self._options = options
        self._status = status
        self._views = f"{root}/layerstore/views"
        self._whiteouts = (
            WhiteoutFormat.OVERLAY_USER if options.userxattr else WhiteoutFormat.OVERLAY
        )

    @property
    def home(self) -> str:
        """See GraphDriver."""
        return self._layout.home

    @property
    def copies(self) -> bool:
        """See GraphDriver."""
        return False

    def prepare(self) -> None:
        """Make the home's directories."""
        self._layout.prepare()
        try:
            os.makedirs(self._views, mode=0o700, exist_ok=True)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", self._views, error) from error

    def tidy(self) -> None:
        """See GraphDriver. Takes down views, and removes short links without a layer."""
        try:
            for name in os.listdir(self._views):
                unmount(f"{self._views}/{name}")
        except OSError as error:
            raise DriverError.from_os_error("clean", self._views, error) from error
        self._layout.tidy()

    def status(self) -> list[tuple[str, str]]:
        """See GraphDriver."""
        return list(self._status)

    def ids(self) -> Iterator[str]:
        """See GraphDriver."""
        return self._layout.ids()

    def exists(self, layer_id: str) -> bool:
        """See GraphDriver."""
        return os.path.isdir(self._layout.path(layer_id))

    def create(self, layer_id: str, parent: str | None) -> None:
        """See GraphDriver."""
        self._layout.make(layer_id, parent)

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
    ) -> None:
        """See GraphDriver. Knows no storage_opt: a size wants project quotas."""
        check_label(mount_label)
        for key in storage_opt or {}:
            raise InvalidName(key, "overlay2 knows no such storage option on this file system")
        self._layout.make(layer_id, parent)

    def remove(self, layer_id: str, trash: str) -> None:
        """See GraphDriver. What is still mounted is unmounted first, lest a sweep enter it."""
        if self.may_be_mounted(layer_id):
            self.put(layer_id)
        self._layout.take_away(layer_id, trash)

    def get(self, layer_id: str, mount_label: str = "") -> str:
        """See GraphDriver. A layer without a parent is its own tree and isn't mounted."""
        path = self._layout.path(layer_id)
        lowers = self._layout.lowers(layer_id)
        if not lowers:
            if not os.path.isdir(f"{path}/diff"):
                raise DriverError("mount", path, 2)
            return f"{path}/diff"
        merged = f"{path}/merged"
        try:
            os.mkdir(merged, 0o700)
        except FileExistsError:
            pass  # left by a crash, or by an unmount that was cut short
        except OSError as error:
            raise DriverError.from_os_error("mkdir", merged, error) from error
        try:
            self._mount(layer_id, merged, lowers, mount_label)
        except BaseException:
            with contextlib.suppress(OSError):
                os.rmdir(merged)
            raise
        return merged

    def _mount(self, layer_id: str, target: str, lowers: list[str], label: str) -> None:
        home = self._layout.home
        if self._layout.is_committed(layer_id):
            own = f"{layer_id}/diff"
            mount_overlay(home, target, self._options, lowers=[own, *lowers], label=label)
        else:
            mount_overlay(
                home,
                target,
                self._options,
                lowers=lowers,
                upper=f"{layer_id}/diff",
                work=f"{layer_id}/work",
                label=label,
            )

    def put(self, layer_id: str) -> None:
        """See GraphDriver."""
        merged = f"{self._layout.path(layer_id)}/merged"
        try:
            unmount(merged)
        except OSError as error:
            raise DriverError.from_os_error("unmount", merged, error) from error

    def mounted(self) -> set[str]:
        """See GraphDriver."""
        prefix, suffix = f"{self._layout.home}/", "/merged"
        return {
            point.path[len(prefix) : -len(suffix)]
            for point in mount_points()
            if point.path.startswith(prefix) and point.path.endswith(suffix)
        }

    def may_be_mounted(self, layer_id: str) -> bool:
        """See GraphDriver. The mount point is there; what is mounted in there, nobody asks."""
        return os.path.lexists(f"{self._layout.path(layer_id)}/merged")

    def metadata(self, layer_id: str) -> dict[str, str]:
        """See GraphDriver. moby: overlay2 GetMetadata."""
        path = self._layout.path(layer_id)
        found = {
            "WorkDir": f"{path}/work",
            "MergedDir": f"{path}/merged",
            "UpperDir": f"{path}/diff",
        }
        lowers = self._layout.lower_directories(layer_id)
        if lowers:
            found["LowerDir"] = ":".join(lowers)
        return found

    def tree(self, layer_id: str) -> LayerTree:
        """See GraphDriver."""
        return LayerTree(
            root=f"{self._layout.path(layer_id)}/diff",
            lowers=tuple(self._layout.lower_directories(layer_id)),
            whiteouts=self._whiteouts,
        )

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
        """See GraphDriver. Against another layer than its parent, mounted trees are compared."""
        from layerstore.drivers.tar import write as tar_write

        if self._is_native(layer_id, parent):
            tar_write.write_diff(self.tree(layer_id), out, style)
            return
        with self._view(layer_id) as new, self._view(parent) as old:
            found = changes.tree_changes(new, old or None)
            tar_write.write_changes(new, found, out, style)

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """See GraphDriver."""
        if self._is_native(layer_id, parent):
            return changes.overlay_changes(self.tree(layer_id))
        with self._view(layer_id) as new, self._view(parent) as old:
            return changes.tree_changes(new, old or None)

    def _is_native(self, layer_id: str, parent: str | None) -> bool:
        """Whether the layer's own directory tells all that differs from `parent`."""
        if not self._layout.is_parent(layer_id, parent):
            return False
        if not self._options.redirects_elsewhere:
            return True
        try:
            changes.overlay_changes(self.tree(layer_id))
        except changes.RedirectedTree:
            return False
        return True

    def diff_size(self, layer_id: str, parent: str | None) -> int:  # noqa: ARG002
        """See GraphDriver."""
        path = f"{self._layout.path(layer_id)}/diff"
        try:
            return tree_size(path)
        except OSError as error:
            raise DriverError.from_os_error("measure", path, error) from error

    @contextlib.contextmanager
    def _view(self, layer_id: str | None) -> Iterator[str]:
        """Show a layer's whole tree, read-only, at a path that only this process can use.

        The mount is detached as soon as it is held by a descriptor, so it ends with the process.
        """
        if layer_id is None:
            yield ""
            return
        own = f"{layer_id}/diff"
        lowers = self._layout.lowers(layer_id)
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

    def faults(self, layers: Mapping[str, str | None]) -> Iterable[Fault]:
        """See GraphDriver."""
        from layerstore.drivers.graph import overlay2_check

        return overlay2_check.OverlayCheck(self._layout, layers).faults()

    def mend(self, kind: FaultKind, layer_id: str) -> None:
        """See GraphDriver."""
        from layerstore.drivers.graph import overlay2_check

        match kind:
            case FaultKind.OVERLAY_SHORT_LINK:
                overlay2_check.mend_short_link(self._layout, layer_id)
            case FaultKind.OVERLAY_WORK:
                overlay2_check.mend_work(self._layout, layer_id)
            case _:
                raise InternalError("overlay2", f"no fault {kind} can be mended")

    def cleanup(self) -> None:
        """See GraphDriver. Opening leaves nothing behind that would have to be undone."""
