"""The vfs graph driver: every layer a complete directory tree, copied from its parent.

Owns `<root>/vfs/dir` in Docker's layout. Slow and large, but it works on every file system and
needs no mounts. Compatible with moby's daemon/graphdriver/vfs.
"""

# ruff: noqa: PLC0415 - tars are a child's work: see drivers/worker/child

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from layerstore.drivers.errors import DriverError, InternalError, InvalidName
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import check_layer_id
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import (
    PLAIN,
    Applied,
    Change,
    ChangeKind,
    LayerTree,
    TarStyle,
    WhiteoutFormat,
)
from layerstore.drivers.system.durable import make_directories, sync_file_system
from layerstore.drivers.system.throwing_away import throw_away
from layerstore.drivers.tree import changes
from layerstore.drivers.tree.copy import copy_tree
from layerstore.drivers.tree.delete import delete_tree
from layerstore.drivers.tree.directories import reached


class VfsDriver:
    """GraphDriver by copying; see the protocol for every method."""

    name = "vfs"

    def __init__(self, root: str, status: list[tuple[str, str]], *, durable: bool) -> None:
        self._durable = durable
        self.home = f"{root}/vfs/dir"
        self._status = status

    @property
    def copies(self) -> bool:
        """See GraphDriver."""
        return True

    def prepare(self) -> None:
        """Make the home."""
        make_directories(self.home, mode=0o710, durable=self._durable)

    def tidy(self) -> None:
        """See GraphDriver. A crash leaves nothing beside directories that nothing names."""

    def _path(self, layer_id: str) -> str:
        return f"{self.home}/{check_layer_id(layer_id)}"

    def status(self) -> list[tuple[str, str]]:
        """See GraphDriver."""
        return list(self._status)

    def ids(self) -> Iterator[str]:
        """See GraphDriver."""
        with os.scandir(self.home) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def exists(self, layer_id: str) -> bool:
        """See GraphDriver."""
        return os.path.isdir(self._path(layer_id))

    def create(self, layer_id: str, parent: str | None) -> None:
        """See GraphDriver."""
        path = self._path(layer_id)
        try:
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)  # whatever the umask
        except OSError as error:
            raise DriverError.from_os_error("mkdir", path, error) from error
        if parent is None:
            return
        try:
            copy_tree(self._path(parent), path)
        except BaseException:
            delete_tree(path)
            raise

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",  # noqa: ARG002 - there is no mount to label
        storage_opt: Mapping[str, str] | None = None,
    ) -> None:
        """See GraphDriver. Knows no storage_opt."""
        for key in storage_opt or {}:
            raise InvalidName(key, "vfs knows no such storage option")
        self.create(layer_id, parent)
        if self._durable:
            sync_file_system(self.home)

    def remove(self, layer_id: str, trash: str) -> None:
        """See GraphDriver."""
        throw_away(self._path(layer_id), trash, layer_id)

    def get(self, layer_id: str, mount_label: str = "") -> str:  # noqa: ARG002
        """See GraphDriver."""
        path = self._path(layer_id)
        if not os.path.isdir(path):
            raise DriverError("open", path, errno.ENOENT)
        return path

    def put(self, layer_id: str) -> None:
        """See GraphDriver."""
        check_layer_id(layer_id)

    def mounted(self) -> set[str]:
        """See GraphDriver."""
        return set()

    def may_be_mounted(self, layer_id: str) -> bool:  # noqa: ARG002
        """See GraphDriver."""
        return False

    def metadata(self, layer_id: str) -> dict[str, str]:
        """See GraphDriver. moby's has none; the directory is what there is to tell."""
        return {"Dir": self._path(layer_id)}

    def tree(self, layer_id: str) -> LayerTree:
        """See GraphDriver."""
        return LayerTree(root=self._path(layer_id), lowers=(), whiteouts=WhiteoutFormat.REMOVE)

    def apply_diff(
        self,
        layer_id: str,
        parent: str | None,  # noqa: ARG002 - its tree is complete
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
        from layerstore.drivers.tar import write as tar_write

        found = self.changes(layer_id, parent)
        tar_write.write_changes(self._path(layer_id), found, out, style)

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """See GraphDriver."""
        old = self._path(parent) if parent is not None else None
        return changes.tree_changes(self._path(layer_id), old)

    def diff_size(self, layer_id: str, parent: str | None) -> int:
        """See GraphDriver. Changed and added files count whole, as in moby's naive driver."""
        seen: dict[tuple[int, int], int] = {}
        root = self._path(layer_id)
        for change in self.changes(layer_id, parent):
            if change.kind is not ChangeKind.DELETE:
                with reached(root + change.path) as path:
                    status = os.lstat(path)
                if not stat.S_ISDIR(status.st_mode):
                    seen[status.st_dev, status.st_ino] = status.st_size
        return sum(seen.values())

    def faults(self, layers: Mapping[str, str | None]) -> Iterable[Fault]:  # noqa: ARG002
        """See GraphDriver. A directory is all that a layer has."""
        return ()

    def mend(self, kind: FaultKind, layer_id: str) -> None:
        """See GraphDriver. Nothing follows from anything else."""
        raise InternalError("vfs", f"no fault {kind} of layer {layer_id} can be mended")

    def cleanup(self) -> None:
        """See GraphDriver. Opening leaves nothing behind that would have to be undone."""
