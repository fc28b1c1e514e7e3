"""Removing layers and read-write layers: in which order their metadata and directories go.

Owns the order, chosen so that a crash between any two steps leaves only what the next open reaps,
and the way back where a step fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.records.containers import ContainerRecords
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.volumes import discard_volumes, has_volumes
from layerstore.drivers.work import RemoveMount

_log = logging.getLogger("layerstore")


def discard_layer(disk: Disk, transaction: str, cache_id: str) -> None:
    """Move what there is of a layer that was not committed into the trash."""
    disk.driver.remove(cache_id, disk.trash)
    disk.metadata.discard(transaction, disk.trash)


def remove_layer(disk: Disk, chain: ChainID, cache_id: str) -> None:
    """Move a layer's metadata and driver directory into the trash; on an error it is restored."""
    orphan = disk.metadata.orphan_layer(chain)
    try:
        disk.driver.remove(cache_id, disk.trash)
    except BaseException:
        disk.metadata.restore_layer(orphan, chain)
        raise
    _later(disk.metadata.discard_orphan, orphan, disk.trash)


def remove_mount(disk: Disk, removal: RemoveMount) -> None:
    """Move a read-write layer that isn't mounted into the trash; on an error it is restored.

    Where somebody who died has begun, what is left to do is done.
    """
    (error,) = remove_mounts(disk, [removal])
    if error is not None:
        raise error


def remove_mounts(
    disk: Disk, removals: Sequence[RemoveMount], *, unmounted: bool = False
) -> Iterator[LayerStoreError | None]:
    """Do as remove_mount with each; yields why it could not be removed, None where it was.

    All names go before any directory does, so that what says so is synced once for all. To be
    iterated to its end. `unmounted` is as in GraphDriver.remove.
    """
    errors: dict[str, LayerStoreError] = {}
    nameless = []
    for removal in removals:
        try:
            with failing_as("RemoveMount", disk):
                if not removal.again or disk.metadata.has_mount(removal.name, removal.mount_id):
                    disk.metadata.orphan_mount(removal.name, removal.transaction)
            nameless.append(removal)
        except LayerStoreError as error:
            errors[removal.transaction] = error
    try:
        disk.metadata.sync_mounts()
    except LayerStoreError as error:
        for removal in nameless:
            errors[removal.transaction] = _named_again(disk, removal) or error
    besides = _besides(disk)
    for removal in removals:
        if removal.transaction not in errors:
            try:
                with failing_as("RemoveMount", disk):
                    _remove_directories(disk, removal, besides, unmounted=unmounted)
            except LayerStoreError as error:
                errors[removal.transaction] = error
        yield errors.get(removal.transaction)


def _named_again(disk: Disk, removal: RemoveMount) -> LayerStoreError | None:
    try:
        disk.metadata.name_mount(removal.transaction, removal.name)
    except LayerStoreError as error:
        return error
    return None


def _remove_directories(
    disk: Disk,
    removal: RemoveMount,
    besides: Sequence[Callable[[str], None]],
    *,
    unmounted: bool,
) -> None:
    try:
        disk.driver.remove(removal.mount_id, disk.trash, unmounted=unmounted)
    except BaseException:
        disk.metadata.name_mount(removal.transaction, removal.name)
        disk.metadata.sync_mounts()
        raise
    if removal.init_id is not None:
        _later(disk.driver.remove, removal.init_id, disk.trash)
    _later(disk.metadata.discard, removal.transaction, disk.trash)
    for step in besides:
        _later(step, removal.mount_id)


def _besides(disk: Disk) -> list[Callable[[str], None]]:
    """Return what does away with a read-write layer's volumes and record, where any has some."""
    steps: list[Callable[[str], None]] = []
    if has_volumes(disk.root):
        steps.append(lambda mount_id: discard_volumes(disk.root, mount_id, disk.trash))
    records = ContainerRecords(disk.root, durable=disk.durable)
    if records.exist:
        steps.append(records.delete)
    return steps


def _later(step: Callable[..., None], name: str, *trash: str) -> None:
    """Do away with what nothing names any more, or leave that to the next open."""
    try:
        step(name, *trash)
    except LayerStoreError as error:
        _log.warning("%s stays until the store is opened again: %s", name, error)
