"""The layer database: `image/<driver>/layerdb` in Docker's format.

Owns the metadata files of layers and mounts and their transactions. It never touches a driver's
directories and keeps no books: what is mounted or retained is not known here. moby's equivalent is
layer/filestore.go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from layerstore.drivers.errors import (
    DriverError,
    InvalidMetadata,
    LayerStoreError,
)
from layerstore.drivers.model.ids import (
    ChainID,
    chain_id,
    check_layer_id,
    check_mount_name,
    check_transaction,
    diff_id,
    hex_of,
    is_transaction,
)
from layerstore.drivers.model.stored import StoredLayer, StoredMount
from layerstore.drivers.system.durable import make_directories, move, sync_directory, write_new
from layerstore.drivers.system.small_file import (
    Place,
    names_in,
    opened,
    read_directory,
    read_metadata,
)
from layerstore.drivers.system.throwing_away import throw_away

MAX_SMALL_FILE = 4096
MAX_DESCRIPTOR = 1 << 20
REMOVING = "-removing"
_LAYER_FILES = {
    "diff": MAX_SMALL_FILE,
    "size": MAX_SMALL_FILE,
    "cache-id": MAX_SMALL_FILE,
    "parent": MAX_SMALL_FILE,
    "descriptor.json": MAX_DESCRIPTOR,
}
_MOUNT_FILES = {"mount-id": MAX_SMALL_FILE, "init-id": MAX_SMALL_FILE, "parent": MAX_SMALL_FILE}

T = TypeVar("T")


class MetadataStore:
    """The layer database beneath one root, for one driver; `durable` asks for fsync on writes."""

    def __init__(self, root: str, driver: str, *, durable: bool) -> None:
        self.home = f"{root}/image/{driver}/layerdb"
        self.durable = durable
        self._layers = f"{self.home}/sha256"
        self._mounts = f"{self.home}/mounts"
        self._transactions = f"{self.home}/tmp"  # noqa: S108 - docker's name for it

    def prepare(self) -> None:
        """Make the directories that are missing."""
        for path in (self._layers, self._mounts, self._transactions):
            make_directories(path, durable=self.durable)

    # Transactions

    def begin(self, transaction: str) -> None:
        """Make the directory of a new transaction, empty."""
        path = self.transaction_path(transaction)
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", path, error) from error

    def transaction_path(self, transaction: str) -> str:
        """Return a transaction's directory; InvalidName for what isn't one."""
        return f"{self._transactions}/{check_transaction(transaction)}"

    def write(self, transaction: str, name: str, content: str) -> None:
        """Write one file of a transaction."""
        path = f"{self.transaction_path(transaction)}/{name}"
        write_new(path, content.encode(), durable=self.durable, mode=0o644)

    def commit_layer(self, transaction: str, chain: ChainID) -> None:
        """Rename a transaction into place: the layer exists from here on, through a crash too."""
        self._commit(transaction, f"{self._layers}/{hex_of(chain)}")

    def commit_mount(self, transaction: str, name: str) -> None:
        """Rename a transaction into place: the mount exists from here on, through a crash too."""
        self._commit(transaction, f"{self._mounts}/{check_mount_name(name)}")

    def _commit(self, transaction: str, target: str) -> None:
        source = self.transaction_path(transaction)
        if self.durable:
            sync_directory(source)
        _move(source, target, durable=self.durable)

    def has_mount(self, name: str, mount_id: str) -> bool:
        """Whether a name is that of this mount."""
        path = f"{self._mounts}/{check_mount_name(name)}/mount-id"
        return _read(path) == mount_id

    # Removal

    def discard(self, transaction: str, trash: str) -> None:
        """Move a transaction into the trash. Idempotent."""
        throw_away(self.transaction_path(transaction), trash, transaction)

    def orphan_layer(self, chain: ChainID) -> str:
        """Take a layer's name away, leaving its metadata beside it for a removal to be finished.

        Returns the orphan's path, `<chain hex>-<random>-removing` as in moby's deleteLayer.
        """
        name = hex_of(chain)
        orphan = f"{self._layers}/{name}-{os.urandom(32).hex()}{REMOVING}"
        _move(f"{self._layers}/{name}", orphan, durable=self.durable)
        return orphan

    def restore_layer(self, orphan: str, chain: ChainID) -> None:
        """Undo orphan_layer."""
        _move(orphan, f"{self._layers}/{hex_of(chain)}", durable=self.durable)

    def discard_orphan(self, orphan: str, trash: str) -> None:
        """Move an orphan's metadata into the trash. Idempotent."""
        throw_away(orphan, trash, "metadata")

    def orphan_mount(self, name: str, transaction: str) -> None:
        """Take a mount's name away, making a new transaction of its metadata; see sync_mounts.

        Not in the trash, which a sweep may empty before a removal that fails is undone.
        """
        source = f"{self._mounts}/{check_mount_name(name)}"
        _move(source, self.transaction_path(transaction), durable=False)

    def sync_mounts(self) -> None:
        """Put on the disk which mounts and transactions there are, where that is wanted."""
        if self.durable:
            for directory in (self._transactions, self._mounts):
                sync_directory(directory)

    def restore_mount(self, transaction: str, name: str) -> None:
        """Undo orphan_mount, before sync_mounts has made it last."""
        target = f"{self._mounts}/{check_mount_name(name)}"
        _move(self.transaction_path(transaction), target, durable=False)

    # Reading

    def layer_path(self, chain: ChainID) -> str:
        """Return the directory of a layer's metadata."""
        return f"{self._layers}/{hex_of(chain)}"

    def tar_split_path(self, chain: ChainID) -> str:
        """Return the path of a layer's `tar-split.json.gz`."""
        return f"{self.layer_path(chain)}/tar-split.json.gz"

    def layers(self) -> Iterator[StoredLayer | InvalidMetadata]:
        """Read every layer's metadata; what can't be read comes as the error that says why."""
        names = [name for name in names_in(self._layers) if not name.endswith(REMOVING)]
        yield from _each(self._layers, names, _read_layer)

    def mounts(self) -> Iterator[StoredMount | InvalidMetadata]:
        """Read every mount's metadata; what can't be read comes as the error that says why."""
        yield from _each(self._mounts, names_in(self._mounts), _read_mount)

    def orphans(self) -> Iterator[tuple[str, str | None]]:
        """Yield the path of each `-removing` directory, and its cache ID where that can be read."""
        for name in names_in(self._layers):
            if name.endswith(REMOVING):
                path = f"{self._layers}/{name}"
                try:
                    cache_id = _read(f"{path}/cache-id")
                    yield path, check_layer_id(cache_id) if cache_id is not None else None
                except LayerStoreError:
                    yield path, None

    def transactions(self) -> list[str]:
        """Return the names of the transactions that were never committed."""
        return [name for name in names_in(self._transactions) if is_transaction(name)]


def _each(
    home: str, names: list[str], read: Callable[[str, Place], T]
) -> Iterator[T | InvalidMetadata]:
    if not names:
        return
    with opened(home) as place:
        for name in names:
            try:
                yield read(name, place)
            except LayerStoreError as error:
                yield InvalidMetadata(f"{home}/{name}", str(error))


def _read_layer(name: str, place: Place) -> StoredLayer:
    texts = read_directory(place, name, _LAYER_FILES)
    try:
        size = texts["size"]
        if not size.isascii() or not size.isdigit():
            raise InvalidMetadata(f"{place.path}/{name}/size", "not a decimal number")
        parent = texts.get("parent")
        return StoredLayer(
            chain_id=chain_id(f"sha256:{name}"),
            diff_id=diff_id(texts["diff"]),
            parent=chain_id(parent) if parent is not None else None,
            cache_id=check_layer_id(texts["cache-id"]),
            size=int(size),
            descriptor=texts.get("descriptor.json"),
        )
    except KeyError as missing:
        raise InvalidMetadata(f"{place.path}/{name}/{missing.args[0]}", "missing") from missing


def _read_mount(name: str, place: Place) -> StoredMount:
    check_mount_name(name)
    texts = read_directory(place, name, _MOUNT_FILES)
    mount_id, init, parent = map(texts.get, _MOUNT_FILES)
    if mount_id is None:
        raise InvalidMetadata(f"{place.path}/{name}/mount-id", "missing")
    return StoredMount(
        name=name,
        mount_id=check_layer_id(mount_id),
        init_id=check_layer_id(init) if init is not None else None,
        parent=chain_id(parent) if parent is not None else None,
    )


def _read(path: str) -> str | None:
    content = read_metadata(path, MAX_SMALL_FILE)
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidMetadata(path, str(error)) from error


def _move(source: str, target: str, *, durable: bool) -> None:
    if os.path.lexists(target):
        raise InvalidMetadata(target, "exists already")
    move(source, target, durable=durable)
