"""Doing a job: which driver, metadata and trash operations each one is, in which order.

Owns the order in which a job touches the disk, chosen so that a crash between any two steps leaves
only what the next open reaps. Runs in a worker's thread or in its child process and knows neither.
What reads tars or checks is imported for such a job only, which a short command hasn't.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import errno
from collections.abc import Sequence

from layerstore.drivers import work
from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.records.imagedb import ImageDatabase
from layerstore.drivers.root.creation import create_mount
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.forking import reset_mount
from layerstore.drivers.root.removal import discard_layer, remove_layer, remove_mount
from layerstore.drivers.root.trash import sweep
from layerstore.drivers.work import CheckJob, ImageJob
from layerstore.drivers.worker.perform_images import perform_on_images


def perform(disk: Disk, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
    """Do one job and return its outcome; LayerStoreError is the only kind of exception.

    The descriptors stay open; they are the caller's to close.
    """
    with failing_as(type(job).__name__, disk):
        return _perform(disk, job, descriptors)


def _perform(disk: Disk, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:  # noqa: PLR0912
    driver = disk.driver
    match job:
        case work.CreateLayer():
            _create_layer(disk, job)
        case work.CommitLayer():
            disk.metadata.commit_layer(job.transaction, job.chain_id)
        case work.DiscardLayer():
            discard_layer(disk, job.transaction, job.cache_id)
        case work.RemoveLayer():
            remove_layer(disk, job.chain_id, job.cache_id)
        case work.CreateMount() | work.ForkMount():
            create_mount(disk, job)
        case work.RemoveMount():
            remove_mount(disk, job)
        case work.ResetMount():
            reset_mount(disk, job)
        case work.MountLayer():
            return driver.get(job.mount_id, job.mount_label)
        case work.UnmountLayer():
            driver.put(job.mount_id)
        case work.DriverMetadata():
            return driver.metadata(job.layer_id)
        case work.ListChanges():
            return list(driver.changes(job.mount_id, job.parent_id))
        case work.MeasureMount():
            return driver.diff_size(job.mount_id, job.parent_id)
        case work.CountUsage():
            return _count_usage(driver, job.mount_ids)
        case work.SweepTrash():
            return sweep(disk.trash, job.hands)
        case ImageJob():
            database = ImageDatabase(disk.root, driver.name, durable=disk.durable)
            return perform_on_images(database, job)
        case CheckJob():
            from layerstore.drivers.upkeep.perform import perform_check

            return perform_check(disk, job)
        case _:
            from layerstore.drivers.worker.perform_tars import perform_on_tars

            return perform_on_tars(disk, job, descriptors)
    return None


def _count_usage(driver: GraphDriver, mount_ids: Sequence[str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for mount_id in mount_ids:
        try:
            found[mount_id] = driver.usage(mount_id)
        except DriverError as error:
            if error.errno != errno.ENOENT:
                raise
    return found


def _create_layer(disk: Disk, job: work.CreateLayer) -> None:
    disk.metadata.begin(job.transaction)
    try:
        disk.driver.create(job.cache_id, job.parent_cache_id)
    except BaseException:
        disk.metadata.discard(job.transaction, disk.trash)
        raise
