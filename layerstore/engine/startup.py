"""Starting a store's actors on a root that is locked: prepare, recover, fill the books.

Owns the order. It is done when a store is opened, again after a repair, and, but for the preparing,
when an actor has died.
"""

from __future__ import annotations

import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.records.containers import ContainerRecords
from layerstore.drivers.records.distribution import DistributionRecords
from layerstore.drivers.records.imagedb import ImageDatabase
from layerstore.drivers.root.disk import Disk, DiskConfig
from layerstore.drivers.root.trash import prepare_trash
from layerstore.drivers.upkeep.recovery import recover
from layerstore.engine.core import Engine, Outliving
from layerstore.engine.crew import Found, Staff


def start(
    disk: Disk,
    config: DiskConfig,
    staff: Staff,
    *,
    recovering: bool,
    outliving: Outliving | None = None,
) -> Engine:
    """Start the actors, with what outlived those before them in another process.

    Without `recovering` nothing on the disk is made, moved or removed. Raises DriverError.
    """
    try:
        return _start(disk, config, staff, recovering, outliving or Outliving())
    except OSError as error:
        raise DriverError.from_os_error_in("open the store", disk.root, error) from error


def _start(
    disk: Disk,
    config: DiskConfig,
    staff: Staff,
    recovering: bool,
    outliving: Outliving,
) -> Engine:
    database = ImageDatabase(disk.root, disk.driver.name, durable=disk.durable)
    if recovering:
        disk.driver.prepare()
        disk.metadata.prepare()
        prepare_trash(disk.trash)
        database.prepare()
        ContainerRecords(disk.root, durable=disk.durable).prepare()

    def find() -> Found:
        recovered = recover(disk, reap=recovering)
        if recovering:
            there = {layer.diff_id for layer in recovered.layers}
            blobs = DistributionRecords(disk.root, disk.driver.name, durable=disk.durable)
            blobs.tidy(there.__contains__)
        to_sweep = recovering and bool(recovered.reaped or os.listdir(disk.trash))
        return Found(recovered=recovered, images=database.recover(), to_sweep=to_sweep)

    return Engine(disk, config, staff, find, outliving)
