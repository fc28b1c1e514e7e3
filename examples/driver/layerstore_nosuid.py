"""A graph driver of a package of its own: copies, shown without set-user-ID programs and devices.

Each layer is a directory `<root>/nosuid/<ID>` with the whole tree in `tree`, copied from its
parent's. A layer is shown by a bind mount at `merged`, on which set-user-ID bits and device nodes
have no effect. What this does at each step of a driver's life is what docs/drivers.md tells of;
install it, and `layerstore --driver nosuid` has it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.plugin import DriverPlugin
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.graph.storage_options import storage_options
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
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.durable import make_directories
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.system.throwing_away import throw_away
from layerstore.drivers.tar.unpack.apply import apply_tar
from layerstore.drivers.tar.write import write_changes
from layerstore.drivers.tree.changes import tree_changes
from layerstore.drivers.tree.copy import copy_tree
from layerstore.drivers.tree.delete import delete_tree

HARMLESS = syscalls.MS_BIND | syscalls.MS_NOSUID | syscalls.MS_NODEV


class NosuidDriver(GraphDriver):
    """Paths and nothing else: another object, in another process, does the same."""

    name = "nosuid"
    copies = True  # so that a child process makes layers, and the file system is synced then

    def __init__(self, root: str, durable: bool) -> None:
        self._home = f"{root}/{self.name}"
        self._durable = durable

    @property
    def home(self) -> str:
        return self._home

    def prepare(self) -> None:
        make_directories(self._home, mode=0o710, durable=self._durable)

    def ids(self) -> Iterator[str]:
        yield from os.listdir(self._home)

    def exists(self, layer_id: str) -> bool:
        return os.path.isdir(self._path(layer_id))

    def create(self, layer_id: str, parent: str | None) -> list[str]:
        path = self._path(layer_id)
        with _failing("make", path):
            os.mkdir(path, 0o710)
        try:
            os.mkdir(f"{path}/tree", 0o755)
            os.chmod(f"{path}/tree", 0o755)  # whatever the umask
            if parent is not None:
                copy_tree(self._tree(parent), f"{path}/tree")
        except BaseException:
            delete_tree(path)  # on an error nothing is left
            raise
        return []

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
    ) -> list[str]:
        storage_options(self.name, storage_opt)  # refuses what there is, as none is known here
        return self.create(layer_id, parent)

    def remove(self, layer_id: str, trash: str, *, unmounted: bool = False) -> None:
        if not unmounted:
            self.put(layer_id)
        throw_away(self._path(layer_id), trash, layer_id)  # one rename

    def get(self, layer_id: str, mount_label: str = "") -> str:
        path, merged = self._tree(layer_id), self._merged(layer_id)
        with _failing("mount", merged):
            with contextlib.suppress(FileExistsError):  # left by a crash
                os.mkdir(merged, 0o700)
            syscalls.mount(path, merged, "", syscalls.MS_BIND, "")
            syscalls.mount("none", merged, "", HARMLESS | syscalls.MS_REMOUNT, "")
        return merged

    def put(self, layer_id: str) -> None:
        merged = self._merged(layer_id)
        with _failing("unmount", merged):
            while _umount(merged):
                continue  # it may be mounted twice, where a crash came between
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(merged)

    def mounted(self) -> set[str]:
        known = {self._merged(name): name for name in self.ids()}
        return {known[path] for path in mount_paths() if path in known}

    def may_be_mounted(self, layer_id: str) -> bool:
        return os.path.lexists(self._merged(layer_id))

    def metadata(self, layer_id: str) -> dict[str, str]:
        return {"Dir": self._tree(layer_id), "MergedDir": self._merged(layer_id)}

    def tree(self, layer_id: str) -> LayerTree:
        return LayerTree(self._tree(layer_id), lowers=(), whiteouts=WhiteoutFormat.REMOVE)

    def apply_diff(
        self,
        layer_id: str,
        parent: str | None,
        source: BinaryIO,
        *,
        tar_split: BinaryIO | None = None,
        limits: Limits | None = None,
        tree: LayerTree | None = None,
    ) -> Applied:
        # What is hostile in a tar is apply_tar's to know, and what is confined its caller's.
        tree = tree or self.tree(layer_id)
        return apply_tar(source, tree, tar_split=tar_split, limits=limits)

    def diff(
        self, layer_id: str, parent: str | None, out: BinaryIO, style: TarStyle = PLAIN
    ) -> None:
        write_changes(self._tree(layer_id), self.changes(layer_id, parent), out, style)

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        old = self._tree(parent) if parent is not None else None
        return tree_changes(self._tree(layer_id), old)

    def diff_size(self, layer_id: str, parent: str | None) -> int:
        seen: dict[tuple[int, int], int] = {}
        for change in self.changes(layer_id, parent):
            if change.kind is not ChangeKind.DELETE:
                status = os.lstat(self._tree(layer_id) + change.path)
                if not stat.S_ISDIR(status.st_mode):
                    seen[status.st_dev, status.st_ino] = status.st_size
        return sum(seen.values())

    def _path(self, layer_id: str) -> str:
        return f"{self._home}/{check_layer_id(layer_id)}"  # what is no ID never becomes a path

    def _tree(self, layer_id: str) -> str:
        return f"{self._path(layer_id)}/tree"

    def _merged(self, layer_id: str) -> str:
        return f"{self._path(layer_id)}/merged"


def _umount(path: str) -> bool:
    """Unmount what is mounted there last; false where nothing is."""
    try:
        syscalls.umount(path, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise
    return True


@contextlib.contextmanager
def _failing(operation: str, path: str) -> Iterator[None]:
    """Have an OSError say what was done where."""
    try:
        yield
    except OSError as error:
        raise DriverError.from_os_error(operation, path, error) from error


def why_not(root: str) -> str:
    """Why the driver can't work on a root; it is tried, beneath layerstore's own directory."""
    place = f"{root}/layerstore/nosuid-{os.urandom(8).hex()}"
    with _failing("try a bind mount in", root):  # NotPermitted where that is what is missing
        os.mkdir(place, 0o700)
        try:
            syscalls.mount(place, place, "", syscalls.MS_BIND, "")
            syscalls.umount(place, syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return f"nothing can be bound there ({error.strerror})"
        finally:
            os.rmdir(place)
    return ""


plugin = DriverPlugin(
    name="nosuid",
    protocol=1,  # the version that this was written for, not the one that happens to be installed
    needs="bind mounts",
    open=NosuidDriver,
    why_not=why_not,
)
