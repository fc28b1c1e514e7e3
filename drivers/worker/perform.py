"""Doing a job: which driver, metadata and trash operations each one is, in which order.

Owns the order in which a job touches the disk, chosen so that a crash between any two steps leaves
only what the next open reaps. Runs in a worker's thread or in its child process and knows neither.
What reads tars or checks is imported for such a job only, which a short command hasn't.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from layerstore.drivers import work
from layerstore.drivers.errors import (
    CallerError,
    LayerStoreError,
)
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.records.imagedb import ImageDatabase
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.removal import discard_layer, remove_layer, remove_mount
from layerstore.drivers.root.trash import make_room, sweep
from layerstore.drivers.work import CheckJob, ImageJob
from layerstore.drivers.worker.perform_images import perform_on_images

_ROOM = 1 << 30
"""Bytes that should be free before something is made whose size isn't known."""


def perform(disk: Disk, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
    """Do one job and return its outcome; LayerStoreError is the only kind of exception.

    The descriptors stay open; they are the caller's to close.
    """
    with failing_as(type(job).__name__, disk):
        return _perform(disk, job, descriptors)


def _perform(disk: Disk, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:  # noqa: PLR0912
    driver = disk.driver
    match job:
        case work.CommitLayer():
            disk.metadata.commit_layer(job.transaction, job.chain_id)
        case work.DiscardLayer():
            discard_layer(disk, job.transaction, job.cache_id)
        case work.RemoveLayer():
            remove_layer(disk, job.chain_id, job.cache_id)
        case work.CreateMount():
            make_room(disk.root, disk.trash, _ROOM)
            _create_mount(disk, job)
        case work.RemoveMount():
            remove_mount(disk, job)
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
        case work.SweepTrash():
            return sweep(disk.trash)
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


def _create_mount(disk: Disk, job: work.CreateMount) -> None:
    driver, metadata = disk.driver, disk.metadata
    transaction = job.transaction
    if job.again:
        if metadata.has_mount(job.name, job.mount_id):
            return
        _undo_mount(disk, job)
    metadata.begin(transaction)
    try:
        parent = job.parent_cache_id
        if job.init_id is not None:
            _create_init(driver, job, job.init_id)
            parent = job.init_id
        driver.create_read_write(
            job.mount_id, parent, mount_label=job.mount_label, storage_opt=job.storage_opt
        )
        metadata.write(transaction, "mount-id", job.mount_id)
        if job.init_id is not None:
            metadata.write(transaction, "init-id", job.init_id)
        if job.parent is not None:
            metadata.write(transaction, "parent", job.parent)
        metadata.commit_mount(transaction, job.name)
    except BaseException:
        _undo_mount(disk, job)
        raise


def _undo_mount(disk: Disk, job: work.CreateMount) -> None:
    disk.driver.remove(job.mount_id, disk.trash)
    if job.init_id is not None:
        disk.driver.remove(job.init_id, disk.trash)
    disk.metadata.discard(job.transaction, disk.trash)


def _create_init(driver: GraphDriver, job: work.CreateMount, init_id: str) -> None:
    driver.create_read_write(
        init_id, job.parent_cache_id, mount_label=job.mount_label, storage_opt=job.storage_opt
    )
    path = driver.get(init_id, job.mount_label)
    try:
        if job.init is not None:
            job.init(path)
    except LayerStoreError:
        raise
    except BaseException as error:
        raise CallerError(
            f"the init function of mount {job.name}", f"{type(error).__name__}: {error}"
        ) from error
    finally:
        driver.put(init_id)
