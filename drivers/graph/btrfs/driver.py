"""The btrfs graph driver: a layer's tree is a subvolume, a snapshot of its parent's.

Owns `<root>/btrfs` in Docker's layout: `subvolumes/<id>`, and `quotas/<id>`, the bytes that a
layer may have. What a layer's tree holds is read and changed as vfs does. Compatible with moby's
daemon/graphdriver/btrfs.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator, Mapping

from layerstore.drivers.errors import DriverError, InvalidMetadata
from layerstore.drivers.graph.btrfs import mounted_home, quotas
from layerstore.drivers.graph.exchanging import exchange_for_good
from layerstore.drivers.graph.storage_options import SIZE, storage_options
from layerstore.drivers.graph.vfs import VfsDriver
from layerstore.drivers.model.ids import is_layer_store_id
from layerstore.drivers.model.sizes import LARGEST
from layerstore.drivers.system.durable import make_directories, write_new
from layerstore.drivers.system.small_file import read_metadata
from layerstore.drivers.system.throwing_away import throw_away
from layerstore.drivers.tree import btrfs_ioctls as btrfs
from layerstore.drivers.tree.copy import copy_tree
from layerstore.drivers.tree.delete import DIRECTORY, delete_entry
from layerstore.drivers.tree.subvolumes import fill_in, is_subvolume
from layerstore.drivers.work import USERNS

_MOST_DIGITS = 20
_NO_SUBVOLUME = "it is no subvolume, as after a copy file by file; a fork of it is one"
_log = logging.getLogger("layerstore")


class BtrfsDriver(VfsDriver):
    """GraphDriver by snapshots; see the protocol for every method."""

    name = "btrfs"

    def __init__(self, root: str, status: list[tuple[str, str]], *, durable: bool) -> None:
        super().__init__(root, status, durable=durable)
        self._root = root
        self._above = f"{root}/btrfs"
        self._home = f"{self._above}/subvolumes"
        self._quotas = f"{self._above}/quotas"

    @contextlib.contextmanager
    def near(self) -> Iterator[BtrfsDriver]:
        """See GraphDriver. Each snapshot waits for the disk, which names take no part in."""
        yield self

    def prepare(self) -> None:
        """Make the home. A mount of it on itself, which dockerd leaves where it dies, is undone."""
        mounted_home.lay_bare(self._root, "btrfs")
        make_directories(self.home, mode=0o710, durable=self._durable)

    def tidy(self) -> None:
        """See GraphDriver. Removes bounds and quota groups of layers that are gone."""
        self._mapped.tidy(self.exists)
        try:
            for name in filter(is_layer_store_id, os.listdir(self._quotas)):
                if not os.path.lexists(f"{self.home}/{name}"):
                    os.unlink(f"{self._quotas}/{name}")
        except FileNotFoundError:
            return  # no layer was ever bounded
        except OSError as error:
            raise DriverError.from_os_error("clean", self._quotas, error) from error
        with self._opened(self.home, "clean") as home:
            quotas.forget_gone(home)

    def create(self, layer_id: str, parent: str | None) -> list[str]:
        """See GraphDriver."""
        path = self._path(layer_id)
        with self._opened(self.home, "make a subvolume in") as home:
            if parent is None:
                self._make_empty(home, layer_id, path)
            else:
                self._make_on(home, layer_id, path, parent)
        return []

    def _make_empty(self, home: int, layer_id: str, path: str) -> None:
        try:
            btrfs.create(home, layer_id.encode())
        except OSError as error:
            raise DriverError.from_os_error("make subvolume", path, error) from error
        with self._undoing(home, layer_id), self._opened(path, "chmod") as made:
            os.fchmod(made, 0o755)  # whatever the umask

    def _make_on(self, home: int, layer_id: str, path: str, parent: str) -> None:
        above = self._path(parent)
        with self._opened(above, "make a snapshot of") as source:
            if is_subvolume(source):
                self._snapshot(source, home, layer_id, above)
                return
        # As in a root that was copied file by file.
        self._make_empty(home, layer_id, path)
        with self._undoing(home, layer_id):
            copy_tree(above, path)

    def _snapshot(self, source: int, home: int, layer_id: str, above: str) -> None:
        try:
            btrfs.snapshot(source, home, layer_id.encode())
        except OSError as error:
            path, reason = f"{self.home}/{layer_id}", f"of {above}"
            raise DriverError.from_os_error("snapshot to", path, error, reason) from error

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",  # noqa: ARG002 - there is no mount to label
        storage_opt: Mapping[str, str] | None = None,
    ) -> list[str]:
        """See GraphDriver. Knows `size` and `userns`; the first bound switches quotas on."""
        wanted = storage_options(self.name, storage_opt, (SIZE, USERNS))
        unsynced = self.create(layer_id, parent)
        with (
            self._opened(self.home, "bound") as home,
            self._undoing(home, layer_id),
            self._opened(self._path(layer_id), "bound") as made,
        ):
            unsynced += self._mapped.keep(layer_id, wanted)
            if wanted.size is not None:
                quotas.check(made, wanted.size)
                self._keep_bound(layer_id, made, wanted.size)
        return unsynced

    def _keep_bound(self, layer_id: str, made: int, size: int) -> None:
        quotas.bind(made, size)
        make_directories(self._quotas, mode=0o700, durable=self._durable)
        write_new(f"{self._quotas}/{layer_id}", b"%d" % size, durable=self._durable, mode=0o644)

    def _bound(self, layer_id: str) -> int | None:
        """Return the bytes that a layer may have. Raises InvalidMetadata."""
        path = f"{self._quotas}/{layer_id}"
        kept = read_metadata(path, _MOST_DIGITS)
        if kept is None:
            return None
        if not kept.isdigit() or not 0 < int(kept) <= LARGEST:
            raise InvalidMetadata(path, "no number of bytes")
        return int(kept)

    @contextlib.contextmanager
    def _undoing(self, home: int, layer_id: str) -> Iterator[None]:
        """Leave nothing of a layer that was just made where a `with` block fails."""
        try:
            yield
        except BaseException:
            delete_entry(home, layer_id)
            self._forget_bound(layer_id)
            self._mapped.forget(layer_id)
            raise

    def _forget_bound(self, layer_id: str) -> None:
        path = f"{self._quotas}/{layer_id}"
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError.from_os_error("unlink", path, error) from error

    def fork(self, layer_id: str, source_id: str, parent: str | None) -> list[str]:
        """See GraphDriver. All files are of one moment, but for subvolumes in the source."""
        above, path = self._path(source_id), self._path(layer_id)
        with (
            self._opened(self.home, "make a snapshot in") as home,
            self._opened(above, "make a snapshot of") as source,
        ):
            if not is_subvolume(source):
                return self._fork_files(home, layer_id, source_id, parent)
            self._snapshot(source, home, layer_id, above)
            with self._undoing(home, layer_id), self._opened(path, "fork to") as made:
                self._fill_in(source, made, layer_id, self._bound(source_id))
        return []

    def _fork_files(
        self, home: int, layer_id: str, source_id: str, parent: str | None
    ) -> list[str]:
        """Make a subvolume with the bound of what is none, to be filled."""
        size = self._bound(source_id)
        unsynced = super().fork(layer_id, source_id, parent)
        if size is not None:
            path = self._path(layer_id)
            with self._undoing(home, layer_id), self._opened(path, "bound") as made:
                self._keep_bound(layer_id, made, size)
        return unsynced

    def fill(self, layer_id: str, source_id: str) -> None:
        """See GraphDriver. A snapshot has all there is; a tree that is no subvolume is copied."""
        above = self._path(source_id)
        with self._opened(above, "look at") as source:
            if is_subvolume(source):
                return
        super().fill(layer_id, source_id)

    def _fill_in(self, source: int, made: int, layer_id: str, size: int | None) -> None:
        """Put into a snapshot what it lacks: the subvolumes in its source, and the bound."""
        if size is not None and quotas.counts_inner(made):
            self._keep_bound(layer_id, made, size)
            fill_in(source, made)
            return
        if size is not None:
            quotas.unbind(made)  # a snapshot has its source's bound, and may be full
        fill_in(source, made)
        if size is not None:
            self._keep_bound(layer_id, made, size)

    def reset(self, layer_id: str, spare_id: str, parent: str | None, trash: str) -> None:
        """See GraphDriver. What is new has the layer's bound before it is in its place."""
        path, spare, size = self._path(layer_id), self._path(spare_id), self._bound(layer_id)
        self.create(spare_id, parent)
        try:
            with self._opened(spare, "reset to") as made:
                if size is not None:
                    quotas.bind(made, size)
                if self._durable:
                    btrfs.commit(made)
            exchange_for_good(spare, path, durable=self._durable)
        except OSError as error:
            raise DriverError.from_os_error("reset", path, error) from error
        finally:
            self._remove_spare(spare_id, trash)

    def _remove_spare(self, spare_id: str, trash: str) -> None:
        try:
            self.remove(spare_id, trash)
        except DriverError as error:
            _log.warning("%s stays until the store is opened again: %s", spare_id, error)

    def remove(self, layer_id: str, trash: str, *, unmounted: bool = False) -> None:
        """See GraphDriver. Whoever has used a layer may have made it read-only."""
        if not unmounted:
            self.put(layer_id)
        path = self._path(layer_id)
        self._forget_bound(layer_id)  # first: what fails here fails while the layer is there
        try:
            throw_away(path, trash, layer_id)
        except DriverError as error:
            if error.errno != errno.EROFS:
                raise
            with self._opened(path, "make writable") as subvolume:
                btrfs.make_writable(subvolume)
            throw_away(path, trash, layer_id)
        self._mapped.forget(layer_id)

    def get(self, layer_id: str, mount_label: str = "") -> str:
        """See GraphDriver. Bounds the layer once more, in case that quotas were off meanwhile."""
        size = self._bound(layer_id)
        if size is not None:
            path = self._path(layer_id)
            with self._opened(path, "bound") as subvolume:
                if not is_subvolume(subvolume):
                    # What it lies in mustn't be bounded in its place.
                    raise DriverError("bound", path, errno.EINVAL, _NO_SUBVOLUME)
                quotas.bind(subvolume, size)
        return super().get(layer_id, mount_label)

    def usage(self, layer_id: str) -> int | None:
        """See GraphDriver."""
        with self._opened(self._path(layer_id), "ask for the quotas of") as subvolume:
            return quotas.usage(subvolume) if is_subvolume(subvolume) else None

    @contextlib.contextmanager
    def _opened(self, path: str, what: str) -> Iterator[int]:
        """Open a directory for a `with` block; what fails there is an error about its path."""
        try:
            directory = os.open(path, DIRECTORY)
            try:
                yield directory
            finally:
                os.close(directory)
        except OSError as error:
            raise DriverError.from_os_error(what, path, error) from error
