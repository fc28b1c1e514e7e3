"""Removing a layer or a read-write layer: in which order its metadata and its directory go.

Owns the order, chosen so that a crash between any two steps leaves only what the next open reaps,
and the way back where a step fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from layerstore.drivers.disk import Disk
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.ids import ChainID

_log = logging.getLogger("layerstore")


def remove_layer(disk: Disk, chain: ChainID, cache_id: str) -> None:
    """Move a layer's metadata and driver directory into the trash; on an error it is restored."""
    orphan = disk.metadata.orphan_layer(chain)
    try:
        disk.driver.remove(cache_id, disk.trash)
    except BaseException:
        disk.metadata.restore_layer(orphan, chain)
        raise
    _later(disk.metadata.discard_orphan, orphan, disk.trash)


def remove_mount(
    disk: Disk,
    name: str,
    mount_id: str,
    init_id: str | None,
    transaction: str,
    *,
    again: bool = False,
) -> None:
    """Move a read-write layer that isn't mounted into the trash; on an error it is restored.

    `transaction` is a new one, which its metadata is meanwhile. With `again` somebody may have
    begun, or even done it: what is left to do is done, though a short link that leads nowhere can
    stay until the next open.
    """
    if not again or disk.metadata.has_mount(name, mount_id):
        disk.metadata.orphan_mount(name, transaction)
    try:
        disk.driver.remove(mount_id, disk.trash)
    except BaseException:
        disk.metadata.commit_mount(transaction, name)
        raise
    if init_id is not None:
        _later(disk.driver.remove, init_id, disk.trash)
    _later(disk.metadata.discard, transaction, disk.trash)


def _later(step: Callable[[str, str], None], name: str, trash: str) -> None:
    """Move what nothing names any more into the trash, or leave that to the next open."""
    try:
        step(name, trash)
    except LayerStoreError as error:
        _log.warning("%s stays until the store is opened again: %s", name, error)
