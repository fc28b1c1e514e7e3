"""Starting a store's actors on a root that is locked: prepare, recover, fill the books.

Owns the order. It is done when a store is opened, and again after a repair.
"""

from __future__ import annotations

import os

from layerstore.core import Core, Staff
from layerstore.drivers.disk import Disk, DiskConfig
from layerstore.drivers.errors import InvalidMetadata
from layerstore.drivers.imagedb import ImageDatabase
from layerstore.drivers.recovery import recover
from layerstore.drivers.trash import prepare_trash


def start(
    disk: Disk, config: DiskConfig, staff: Staff, *, recovering: bool
) -> tuple[Core, list[InvalidMetadata]]:
    """Start the actors; returns them and the metadata that can't be used.

    Without `recovering` nothing on the disk is made, moved or removed. Raises DriverError.
    """
    database = ImageDatabase(disk.root, disk.driver.name, durable=disk.durable)
    if recovering:
        disk.driver.prepare()
        disk.metadata.prepare()
        prepare_trash(disk.trash)
        database.prepare()
    recovered = recover(disk, reap=recovering)
    images = database.recover()
    core = Core(disk, config, recovered, images, staff)
    if recovering and (recovered.reaped or os.listdir(disk.trash)):
        core.sweep()
    return core, [*recovered.faults, *images.faults]
