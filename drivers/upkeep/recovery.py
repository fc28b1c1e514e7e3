"""Opening a root: read what is there, and put into the trash what a crash left.

Owns the decision of what is an orphan. It deletes nothing itself and changes nothing that any
metadata names; where some metadata can't be read, driver directories that seem to be orphans are
left alone, because the unreadable file may be what names them.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct, structs

from layerstore.drivers.errors import DriverError, InvalidMetadata, LayerStoreError
from layerstore.drivers.model.ids import ChainID, chain_of, is_layer_store_id
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.stored import StoredLayer, StoredMount
from layerstore.drivers.records.buildkit import cached_layers
from layerstore.drivers.records.containers import ContainerRecords
from layerstore.drivers.records.dockers import image_of_container, is_dockers
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.volumes import discard_volumes, others_volumes
from layerstore.drivers.system.durable import make_directories
from layerstore.drivers.system.printable import escaped
from layerstore.drivers.userns.standing import in_user_namespace

_log = logging.getLogger("layerstore")


class Recovered(Struct, frozen=True, kw_only=True):
    """What a root holds."""

    layers: list[StoredLayer]
    """Every layer that can be used, parents before their children."""
    cached: set[ChainID]
    """Layers that a dockerd's build cache keeps."""
    mounts: list[StoredMount]
    origins: dict[str, ImageID]
    """Mount ID -> the image it was made from, where that is recorded."""
    mounted: dict[str, str]
    """Mount ID -> path of what is mounted."""
    faults: list[InvalidMetadata]
    """Metadata that can't be used, and why."""
    reaped: int
    """What a crash had left and is in the trash now."""


def prepare_root(root: str, *, durable: bool, create: bool = True) -> None:
    """Make the root, unless it has to be there, and the store's own directory in it.

    As in Docker's, root's group gets through to what lies in it; an ordinary user's group, in which
    there may be anybody, to none of the set-user-ID programs in there.
    """
    if not create and not os.path.isdir(root):
        raise DriverError("open", root, errno.ENOENT)
    whole = 0o710 if os.geteuid() == 0 and not in_user_namespace() else 0o700
    for path, mode in ((root, whole), (f"{root}/layerstore", 0o700)):
        make_directories(path, mode=mode, durable=durable)


def recover(disk: Disk, *, reap: bool = True) -> Recovered:
    """Read all metadata and, if wanted, reap orphans; the root's lock must be held."""
    faults: list[InvalidMetadata] = []
    layers = _in_order(_sorted_out(disk.metadata.layers(), faults), faults)
    known = {layer.chain_id for layer in layers}
    mounts: list[StoredMount] = []
    unclear: list[InvalidMetadata] = []
    for mount in _sorted_out(disk.metadata.mounts(), faults):
        if mount.parent is not None and mount.parent not in known:
            reason = f"its parent {mount.parent} is not there"
            faults.append(InvalidMetadata(f"mount {mount.name}", reason))
            continue
        try:
            id_map = disk.driver.id_map(mount.mount_id)
        except InvalidMetadata as error:
            # Every use of it is refused, but for its removal, which wants it to be known.
            unclear.append(error)
            id_map = ""
        mounts.append(structs.replace(mount, id_map=id_map) if id_map else mount)
    if reap:
        for fault in (*faults, *unclear):
            _log.warning("%s", escaped(str(fault)))
    mounted = disk.driver.mounted()
    paths = {
        mount.mount_id: path
        for mount in mounts
        if mount.mount_id in mounted
        and (path := disk.driver.metadata(mount.mount_id).get("MergedDir"))
    }
    reaped = 0
    if reap:
        _take_down_dead(disk, paths, mounted)
        reaped = _reap(disk, layers, mounts, mounted, all_read=not faults)
    return Recovered(
        layers=layers,
        cached=cached_layers(disk.root, layers),
        mounts=mounts,
        origins=_origins(disk, mounts),
        mounted=paths,
        faults=[*faults, *unclear],
        reaped=reaped,
    )


def _origins(disk: Disk, mounts: list[StoredMount]) -> dict[str, ImageID]:
    found = {}
    records = ContainerRecords(disk.root, durable=disk.durable)
    recorded, shared = records.mount_ids(), is_dockers(disk.root)
    for mount in mounts:
        image: ImageID | None = None
        try:
            if mount.mount_id in recorded:
                record = records.read(mount.mount_id)
                image = ImageID(record.image_id) if record is not None else None
            elif shared:
                image = image_of_container(disk.root, mount.name)
        except LayerStoreError as error:
            _log.warning("what %s was made from is unknown: %s", mount.name, error)
        if image is not None:
            found[mount.mount_id] = image
    return found


T = TypeVar("T")


def _sorted_out(found: Iterable[T | InvalidMetadata], faults: list[InvalidMetadata]) -> list[T]:
    good: list[T] = []
    for item in found:
        if isinstance(item, InvalidMetadata):
            faults.append(item)
        else:
            good.append(item)
    return good


def _in_order(layers: list[StoredLayer], faults: list[InvalidMetadata]) -> list[StoredLayer]:
    """Order layers parents first, leaving out those whose parents or chain IDs don't fit."""
    waiting: dict[ChainID | None, list[StoredLayer]] = {}
    for layer in layers:
        waiting.setdefault(layer.parent, []).append(layer)
    ordered: list[StoredLayer] = []
    parents: list[ChainID | None] = [None]
    while parents:
        parent = parents.pop()
        for layer in waiting.pop(parent, []):
            if chain_of(parent, layer.diff_id) != layer.chain_id:
                reason = "its name is not the chain ID of its parent and diff ID"
                faults.append(InvalidMetadata(f"layer {layer.chain_id}", reason))
                continue
            ordered.append(layer)
            parents.append(layer.chain_id)
    for parent, children in waiting.items():
        faults.extend(
            InvalidMetadata(f"layer {layer.chain_id}", f"its parent {parent} can't be used")
            for layer in children
        )
    return ordered


def _take_down_dead(disk: Disk, paths: dict[str, str], mounted: set[str]) -> None:
    """Unmount, and strike out, what a program served that has ended: nothing in there is seen.

    Whoever kills all of a store's process group while such a program starts leaves that.
    """
    for mount_id, path in list(paths.items()):
        try:
            os.stat(path)
        except OSError as error:
            if error.errno == errno.ENOTCONN and _tried(disk.driver.put, mount_id):
                mounted.discard(mount_id)
                del paths[mount_id]


def _reap(
    disk: Disk,
    layers: list[StoredLayer],
    mounts: list[StoredMount],
    mounted: set[str],
    *,
    all_read: bool,
) -> int:
    """Move into the trash what nothing names; returns how many things that were."""
    named = {layer.cache_id for layer in layers}
    named.update(mount.mount_id for mount in mounts)
    named.update(mount.init_id for mount in mounts if mount.init_id is not None)
    orphans: set[str] = set()
    reaped = 0
    for path, cache_id in disk.metadata.orphans():
        if cache_id is not None and cache_id not in named:
            orphans.add(cache_id)
        reaped += _tried(disk.metadata.discard_orphan, path, disk.trash)
    for transaction in disk.metadata.transactions():
        reaped += _tried(disk.metadata.discard, transaction, disk.trash)
    if all_read:
        unknown = set(disk.driver.ids()) - named
        orphans.update(layer_id for layer_id in unknown if is_layer_store_id(layer_id))
    for layer_id in orphans:
        if layer_id in mounted:
            _tried(disk.driver.put, layer_id)
        reaped += _tried(disk.driver.remove, layer_id, disk.trash)
    disk.driver.tidy()
    if all_read:
        records = ContainerRecords(disk.root, durable=disk.durable)
        kept = {mount.mount_id for mount in mounts}
        try:
            records.keep_only(kept)
            for mount_id in others_volumes(disk.root, kept):
                reaped += _tried(discard_volumes, disk.root, mount_id, disk.trash)
        except LayerStoreError as error:
            _log.warning("a record of a mount that is gone stays: %s", error)
    for mount in mounts:
        # An init layer is mounted only while its init function runs.
        if mount.init_id is not None and mount.init_id in mounted:
            _tried(disk.driver.put, mount.init_id)
    return reaped


def _tried(step: Callable[..., None], *arguments: str) -> bool:
    """Whether the step went well; what a crash left, and stays, keeps nobody from opening."""
    try:
        step(*arguments)
    except LayerStoreError as error:
        _log.warning("what a crash left could not be taken away: %s", error)
        return False
    return True
