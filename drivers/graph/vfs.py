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

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.exchanging import exchange_for_good, throw_spare_away
from layerstore.drivers.graph.id_mapped import IdMappedTrees
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.graph.storage_options import StorageOptions, storage_options
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
from layerstore.drivers.system.apart import lay_apart
from layerstore.drivers.system.durable import make_directories, syncing_file_system
from layerstore.drivers.system.throwing_away import throw_away
from layerstore.drivers.tree import changes
from layerstore.drivers.tree.copy import copy_tree
from layerstore.drivers.tree.delete import delete_tree
from layerstore.drivers.tree.directories import reached
from layerstore.drivers.work import USERNS


class VfsDriver(GraphDriver):
    """GraphDriver by copying; see the protocol for every method."""

    name = "vfs"

    def __init__(self, root: str, status: list[tuple[str, str]], *, durable: bool) -> None:
        self._durable = durable
        self._home = f"{root}/vfs/dir"
        self._status = status
        self._mapped = IdMappedTrees(root)

    @property
    def home(self) -> str:
        """See GraphDriver."""
        return self._home

    @property
    def copies(self) -> bool:
        """See GraphDriver."""
        return True

    def prepare(self) -> None:
        """Make the home."""
        make_directories(self.home, mode=0o710, durable=self._durable)
        lay_apart(self.home)

    def tidy(self) -> None:
        """See GraphDriver."""
        self._mapped.tidy(self.exists)

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

    def create(self, layer_id: str, parent: str | None) -> list[str]:
        """See GraphDriver."""
        path = self._path(layer_id)
        try:
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)  # whatever the umask
        except OSError as error:
            raise DriverError.from_os_error("mkdir", path, error) from error
        if parent is not None:
            try:
                copy_tree(self._path(parent), path)
            except BaseException:
                delete_tree(path)
                raise
        return []

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",  # noqa: ARG002 - there is no mount to label
        storage_opt: Mapping[str, str] | None = None,
    ) -> list[str]:
        """See GraphDriver. Knows `userns`."""
        options = storage_options(self.name, storage_opt, (USERNS,))
        unsynced = self._mapped.keep(layer_id, options)
        try:
            return unsynced + self.create(layer_id, parent)
        except BaseException:
            if unsynced:
                self._mapped.forget(layer_id)
            raise

    def fork(self, layer_id: str, source_id: str, parent: str | None) -> list[str]:  # noqa: ARG002
        """See GraphDriver."""
        return self.create(layer_id, None)

    def fill(self, layer_id: str, source_id: str) -> None:
        """See GraphDriver. The source's whole tree is copied."""
        from layerstore.drivers.tree.live_copy import copy_live_tree

        copy_live_tree(self._path(source_id), self._path(layer_id))

    def reset(self, layer_id: str, spare_id: str, parent: str | None, trash: str) -> None:
        """See GraphDriver. The parent's tree is copied."""
        path, spare = self._path(layer_id), self._path(spare_id)
        self.create(spare_id, parent)
        try:
            if self._durable:
                with syncing_file_system(self.home) as sync_file_system:
                    sync_file_system()
            exchange_for_good(spare, path, durable=self._durable)
        except OSError as error:
            raise DriverError.from_os_error("reset", path, error) from error
        finally:
            throw_spare_away(spare, trash)

    def remove(self, layer_id: str, trash: str, *, unmounted: bool = False) -> None:
        """See GraphDriver."""
        if not unmounted:
            self.put(layer_id)
        throw_away(self._path(layer_id), trash, layer_id)
        self._mapped.forget(layer_id)

    def get(self, layer_id: str, mount_label: str = "") -> str:  # noqa: ARG002
        """See GraphDriver."""
        path = self._path(layer_id)
        if not os.path.isdir(path):
            raise DriverError("open", path, errno.ENOENT)
        return self._mapped.get(layer_id, path)

    def put(self, layer_id: str) -> None:
        """See GraphDriver."""
        if self._mapped.may_be_mounted(layer_id):
            self._mapped.put(layer_id)

    def mounted(self) -> set[str]:
        """See GraphDriver. Only layers with a map of user IDs ever are."""
        return self._mapped.mounted()

    def may_be_mounted(self, layer_id: str) -> bool:
        """See GraphDriver."""
        return self._mapped.may_be_mounted(layer_id)

    def id_map(self, layer_id: str) -> str:
        """See GraphDriver."""
        return self._mapped.options(layer_id).userns

    def give_map(self, layer_id: str, id_map: str) -> list[str]:
        """See GraphDriver."""
        self._mapped.forget(layer_id)
        return self._mapped.keep(layer_id, StorageOptions(userns=id_map))

    def metadata(self, layer_id: str) -> dict[str, str]:
        """See GraphDriver. moby's has none; the directory is what there is to tell."""
        found = {"Dir": self._path(layer_id)}
        point = self._mapped.point(layer_id)
        return found if point is None else {**found, "MergedDir": point}

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
