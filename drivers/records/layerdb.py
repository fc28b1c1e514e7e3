"""The layer database: `image/<driver>/layerdb` in Docker's format.

Owns the metadata files of layers and mounts and their transactions. It never touches a driver's
directories and keeps no books: what is mounted or retained is not known here. moby's equivalent is
layer/filestore.go.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from layerstore.drivers.records.reading import Listing, listed, read_directory
from layerstore.drivers.system.apart import lay_apart
from layerstore.drivers.system.durable import create, make_directories, move, sync_directory
from layerstore.drivers.system.small_file import (
    Place,
    names_in,
    opened,
    read_metadata,
)
from layerstore.drivers.system.throwing_away import throw_away, throw_away_from

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
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
"""What a rename says where something is that it doesn't replace; an empty directory it does."""
_MOUNT_FILES = {"mount-id": MAX_SMALL_FILE, "init-id": MAX_SMALL_FILE, "parent": MAX_SMALL_FILE}

T = TypeVar("T")


class MetadataStore:
    """The layer database beneath one root, for one driver.

    With `durable` names are on the disk before the calls return that give or take them. What is
    written for a new one isn't: it is to be synced before.
    """

    def __init__(self, root: str, driver: str, *, durable: bool) -> None:
        self.home = f"{root}/image/{driver}/layerdb"
        self.durable = durable
        self._layers = f"{self.home}/sha256"
        self._mounts = f"{self.home}/mounts"
        self._transactions = f"{self.home}/tmp"  # noqa: S108 - docker's name for it
        self._mounts_place = Place(self._mounts)
        self._transactions_place = Place(self._transactions)

    @contextlib.contextmanager
    def near(self) -> Iterator[MetadataStore]:
        """Give the same for a `with` block, by open directories. Raises DriverError."""
        with opened(self._mounts) as mounts, opened(self._transactions) as transactions:
            near = copy.copy(self)
            near._mounts_place, near._transactions_place = mounts, transactions
            yield near

    def prepare(self) -> None:
        """Make the directories that are missing."""
        for path in (self._layers, self._mounts, self._transactions):
            make_directories(path, durable=self.durable)
        lay_apart(self._transactions)

    # Transactions

    def begin(self, transaction: str) -> None:
        """Make the directory of a new transaction, empty."""
        place = self._transactions_place
        try:
            os.mkdir(place.at(check_transaction(transaction)), 0o700, dir_fd=place.fd)
        except OSError as error:
            path = self.transaction_path(transaction)
            raise DriverError.from_os_error("mkdir", path, error) from error

    def transaction_path(self, transaction: str) -> str:
        """Return a transaction's directory; InvalidName for what isn't one."""
        return f"{self._transactions}/{check_transaction(transaction)}"

    def write(self, transaction: str, files: Mapping[str, str | None]) -> list[str]:
        """Write files of a transaction, those that have a text.

        Returns what a sync of the transaction is to be of.
        """
        directory = self.transaction_path(transaction)
        place = self._transactions_place
        at = place.at(transaction)
        written = []
        for name, text in files.items():
            if text is not None:
                path = f"{directory}/{name}"
                try:
                    create(f"{at}/{name}", text.encode(), mode=0o644, directory=place.fd)
                except OSError as error:
                    raise DriverError.from_os_error("write", path, error) from error
                written.append(path)
        written.append(directory)
        return written

    def commit_layer(self, transaction: str, chain: ChainID) -> None:
        """Rename a transaction into place: the layer exists from here on, through a crash too."""
        target = f"{self._layers}/{hex_of(chain)}"
        _move(self.transaction_path(transaction), target, durable=self.durable)

    def name_mount(self, transaction: str, name: str) -> None:
        """Rename a transaction into place: the mount exists from here on; see sync_mounts."""
        check_mount_name(name), check_transaction(transaction)
        _rename(self._transactions_place, transaction, self._mounts_place, name)

    def has_mount(self, name: str, mount_id: str) -> bool:
        """Whether a name is that of this mount."""
        path = f"{self._mounts}/{check_mount_name(name)}/mount-id"
        return _read(path) == mount_id

    # Removal

    def discard(self, transaction: str, trash: str) -> None:
        """Move a transaction into the trash. Idempotent."""
        check_transaction(transaction)
        throw_away_from(self._transactions_place, transaction, trash, transaction)

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
        check_mount_name(name), check_transaction(transaction)
        _rename(self._mounts_place, name, self._transactions_place, transaction)

    def sync_mounts(self) -> None:
        """Put on the disk which mounts there are, where that is wanted.

        What is renamed is so at both ends: see `durable.move`.
        """
        if self.durable:
            sync_directory(self._mounts)

    # Reading

    def layer_path(self, chain: ChainID) -> str:
        """Return the directory of a layer's metadata."""
        return f"{self._layers}/{hex_of(chain)}"

    def tar_split_path(self, chain: ChainID) -> str:
        """Return the path of a layer's `tar-split.json.gz`."""
        return f"{self.layer_path(chain)}/tar-split.json.gz"

    def layers(self) -> Iterator[StoredLayer | InvalidMetadata]:
        """Read every layer's metadata; what can't be read comes as the error that says why."""
        with listed(self._layers) as listing:
            names = (name for name in listing.names if not name.endswith(REMOVING))
            yield from _each(listing, names, _read_layer)

    def mounts(self) -> Iterator[StoredMount | InvalidMetadata]:
        """Read every mount's metadata; what can't be read comes as the error that says why."""
        with listed(self._mounts) as listing:
            yield from _each(listing, listing.names, _read_mount)

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
    listing: Listing, names: Iterable[str], read: Callable[[str, Listing], T]
) -> Iterator[T | InvalidMetadata]:
    for name in names:
        try:
            found: T | InvalidMetadata = read(name, listing)
        except LayerStoreError as error:
            found = InvalidMetadata(f"{listing.path}/{name}", str(error))
        yield found


def _read_layer(name: str, listing: Listing) -> StoredLayer:
    texts = read_directory(listing, name, _LAYER_FILES)
    try:
        size = texts["size"]
        if not size.isascii() or not size.isdigit():
            raise InvalidMetadata(f"{listing.path}/{name}/size", "not a decimal number")
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
        raise InvalidMetadata(f"{listing.path}/{name}/{missing.args[0]}", "missing") from missing


def _read_mount(name: str, listing: Listing) -> StoredMount:
    check_mount_name(name)
    texts = read_directory(listing, name, _MOUNT_FILES)
    mount_id, init, parent = map(texts.get, _MOUNT_FILES)
    if mount_id is None:
        raise InvalidMetadata(f"{listing.path}/{name}/mount-id", "missing")
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


def _rename(source: Place, name: str, target: Place, new: str) -> None:
    try:
        os.rename(source.at(name), target.at(new), src_dir_fd=source.fd, dst_dir_fd=target.fd)
    except OSError as error:
        path = f"{target.path}/{new}"
        if error.errno in _TAKEN and os.path.lexists(path):
            raise InvalidMetadata(path, "exists already") from error
        before = f"{source.path}/{name}"
        raise DriverError.from_os_error("rename", before, error, f"to {path}") from error


def _move(source: str, target: str, *, durable: bool) -> None:
    try:
        move(source, target, durable=durable)
    except DriverError as error:
        if error.errno in _TAKEN and os.path.lexists(target):
            raise InvalidMetadata(target, "exists already") from error
        raise
