"""Doing a job: which driver, metadata and trash operations each one is, in which order.

Owns the order in which a job touches the disk, chosen so that a crash between any two steps leaves
only what the next open reaps. Runs in a worker's thread or in its child process and knows neither.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from isal import igzip

from layerstore.drivers import work
from layerstore.drivers.errors import (
    CallerError,
    IntegrityError,
    InternalError,
    LayerStoreError,
)
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.tree import Applied
from layerstore.drivers.records.imagedb import ImageDatabase
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.removal import remove_layer, remove_mount
from layerstore.drivers.root.replay import replay_layer
from layerstore.drivers.root.trash import make_room, sweep
from layerstore.drivers.system.durable import sync_file_system
from layerstore.drivers.tar.source import open_source
from layerstore.drivers.upkeep.perform import perform_check
from layerstore.drivers.work import CheckJob, ImageJob
from layerstore.drivers.worker.perform_images import perform_on_images

_TAR_SPLIT_LEVEL = 1
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
        case work.ApplyLayer():
            make_room(disk.root, disk.trash, _wanted(job.source))
            return _apply_layer(disk, job, descriptors)
        case work.CommitLayer():
            disk.metadata.commit_layer(job.transaction, job.chain_id)
        case work.DiscardLayer():
            _discard_layer(disk, job.transaction, job.cache_id)
        case work.RemoveLayer():
            remove_layer(disk, job.chain_id, job.cache_id)
        case work.StreamLayer():
            with _writer(descriptors) as out:
                replay_layer(disk, job.chain_id, job.cache_id, job.diff_id, out)
        case work.StreamDifference():
            with _writer(descriptors) as out:
                driver.diff(job.layer_id, job.parent_id, out, job.style)
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
        case work.ApplyToMount():
            make_room(disk.root, disk.trash, _wanted(job.source))
            return _apply(disk, job.mount_id, job.parent_id, job.source, descriptors).size
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
            return perform_check(disk, job)
        case _:
            raise InternalError("perform", f"no such job: {type(job).__name__}")
    return None


def _wanted(source: work.TarSource) -> int:
    return max(_ROOM, 2 * (source.size or 0))


def _apply_layer(
    disk: Disk, job: work.ApplyLayer, descriptors: work.Descriptors
) -> work.AppliedLayer:
    metadata = disk.metadata
    transaction = job.transaction
    metadata.begin(transaction)
    try:
        disk.driver.create(job.cache_id, job.parent_cache_id)
        path = f"{metadata.transaction_path(transaction)}/tar-split.json.gz"
        with open(path, "xb") as split:
            applied = _apply(
                disk, job.cache_id, job.parent_cache_id, job.source, descriptors, split
            )
            if disk.durable:
                os.fsync(split.fileno())
        metadata.write(transaction, "diff", applied.diff_id)
        metadata.write(transaction, "size", str(applied.size))
        metadata.write(transaction, "cache-id", job.cache_id)
        if job.parent is not None:
            metadata.write(transaction, "parent", job.parent)
        if job.descriptor is not None:
            metadata.write(transaction, "descriptor.json", job.descriptor)
        if disk.durable:
            sync_file_system(disk.root)
    except BaseException:
        _discard_layer(disk, transaction, job.cache_id)
        raise
    return work.AppliedLayer(
        diff_id=DiffID(applied.diff_id),
        size=applied.size,
        tar_size=applied.tar_size,
    )


def _apply(
    disk: Disk,
    layer_id: str,
    parent_id: str | None,
    source: work.TarSource,
    descriptors: work.Descriptors,
    split: BinaryIO | None = None,
) -> Applied:
    tree = disk.driver.tree(layer_id)

    def unpack() -> Applied:
        with (
            failing_as("unpack", disk),
            open_source(source, descriptors, disk.limits) as tar,
            _packed(split) as records,
        ):
            return disk.driver.apply_diff(
                layer_id,
                parent_id,
                tar.stream,
                tar_split=records,
                limits=disk.limits,
                tree=tree,
            )

    applied = disk.apart(tree, unpack)
    expected = source.expected_diff_id
    if expected is not None and applied.diff_id != expected:
        raise IntegrityError("the layer's diff ID", expected, applied.diff_id)
    return applied


@contextlib.contextmanager
def _packed(raw: BinaryIO | None) -> Iterator[BinaryIO | None]:
    """Give a gzip writer into a file, all of which is handed to the kernel in the end."""
    if raw is None:
        yield None
        return
    with igzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_TAR_SPLIT_LEVEL, mtime=0) as packed:
        yield cast("BinaryIO", packed)
    raw.flush()


def _discard_layer(disk: Disk, transaction: str, cache_id: str) -> None:
    disk.driver.remove(cache_id, disk.trash)
    disk.metadata.discard(transaction, disk.trash)


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


def _writer(descriptors: work.Descriptors) -> BinaryIO:
    return io.FileIO(descriptors[0].fileno(), "wb", closefd=False)
