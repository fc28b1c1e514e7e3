"""Removing a layer or a read-write layer: in which order its metadata and its directory go.

Owns the order, chosen so that a crash between any two steps leaves only what the next open reaps,
and the way back where a step fails.
"""

from __future__ import annotations

import logging

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
    disk.metadata.discard_orphan(orphan, disk.trash)


def remove_mount(disk: Disk, name: str, mount_id: str, init_id: str | None) -> None:
    """Move a read-write layer that isn't mounted into the trash; on an error it is restored."""
    discarded = disk.metadata.discard_mount(name, disk.trash)
    try:
        disk.driver.remove(mount_id, disk.trash)
    except BaseException:
        disk.metadata.restore_mount(discarded, name)
        raise
    if init_id is not None:
        try:
            disk.driver.remove(init_id, disk.trash)
        except LayerStoreError as error:
            # Nothing names the init layer any more, so the next open reaps it.
            _log.warning("mount %s: its init layer stays for now: %s", name, error)
