"""Doing a job: which driver, metadata and trash operations each one is, in which order.

Owns the order in which a job touches the disk, chosen so that a crash between any two steps leaves
only what the next open reaps. Runs in a worker's thread or in its child process and knows neither.
"""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass
from typing import BinaryIO, cast

from isal import igzip

from layerstore.drivers import tar_split, work
from layerstore.drivers.choose import reopen_driver
from layerstore.drivers.errors import (
    CallerError,
    DriverError,
    IntegrityError,
    InternalError,
    LayerStoreError,
)
from layerstore.drivers.ids import DiffID, new_transaction
from layerstore.drivers.image_perform import perform_on_images
from layerstore.drivers.image_work import ImageJob
from layerstore.drivers.imagedb import ImageDatabase
from layerstore.drivers.metadata import MetadataStore
from layerstore.drivers.protocol import Applied, GraphDriver, Limits
from layerstore.drivers.syscalls import syncfs
from layerstore.drivers.tar_source import open_source
from layerstore.drivers.trash import make_room, sweep, trash_path

_TAR_SPLIT_LEVEL = 1
_ROOM = 1 << 30
"""Bytes that should be free before something is made whose size isn't known."""
_log = logging.getLogger("layerstore")


@dataclass(frozen=True, slots=True)
class Disk:
    """Everything a job may touch."""

    root: str
    driver: GraphDriver
    metadata: MetadataStore
    trash: str
    durable: bool
    limits: Limits


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """Plain data from which two processes make the same Disk."""

    root: str
    driver: str
    durable: bool
    limits: Limits


def make_disk(config: DiskConfig, driver: GraphDriver | None = None) -> Disk:
    """Make the Disk of a root, whose driver has been chosen, from its configuration."""
    return Disk(
        root=config.root,
        driver=driver or reopen_driver(config.driver, config.root, durable=config.durable),
        metadata=MetadataStore(config.root, config.driver, durable=config.durable),
        trash=trash_path(config.root),
        durable=config.durable,
        limits=config.limits,
    )


def perform(disk: Disk, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
    """Do one job and return its outcome; LayerStoreError is the only kind of exception.

    The descriptors stay open; they are the caller's to close.
    """
    name = type(job).__name__
    try:
        return _perform(disk, job, descriptors)
    except LayerStoreError:
        raise
    except OSError as error:
        raise DriverError.from_os_error(name, error.filename or disk.root, error) from error
    except Exception as error:
        raise InternalError(name, f"{type(error).__name__}: {error}") from error


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
            _remove_layer(disk, job)
        case work.StreamLayer():
            _stream_layer(disk, job, descriptors)
        case work.StreamDifference():
            with _writer(descriptors) as out:
                driver.diff(job.layer_id, job.parent_id, out)
        case work.CreateMount():
            make_room(disk.root, disk.trash, _ROOM)
            _create_mount(disk, job)
        case work.RemoveMount():
            _remove_mount(disk, job)
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
        with open(path, "xb") as raw:
            with igzip.GzipFile(
                fileobj=raw, mode="wb", compresslevel=_TAR_SPLIT_LEVEL, mtime=0
            ) as packed:
                applied = _apply(
                    disk,
                    job.cache_id,
                    job.parent_cache_id,
                    job.source,
                    descriptors,
                    cast("BinaryIO", packed),
                )
            if disk.durable:
                raw.flush()
                os.fsync(raw.fileno())
        metadata.write(transaction, "diff", applied.diff_id)
        metadata.write(transaction, "size", str(applied.size))
        metadata.write(transaction, "cache-id", job.cache_id)
        if job.parent is not None:
            metadata.write(transaction, "parent", job.parent)
        if job.descriptor is not None:
            metadata.write(transaction, "descriptor.json", job.descriptor)
        if disk.durable:
            _sync_file_system(disk.root)
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
    with open_source(source, descriptors, disk.limits) as tar:
        applied = disk.driver.apply_diff(
            layer_id, parent_id, tar.stream, tar_split=split, limits=disk.limits
        )
        tar.finish()
    expected = source.expected_diff_id
    if expected is not None and applied.diff_id != expected:
        raise IntegrityError("the layer's diff ID", expected, applied.diff_id)
    return applied


def _discard_layer(disk: Disk, transaction: str, cache_id: str) -> None:
    disk.driver.remove(cache_id, disk.trash)
    disk.metadata.discard(transaction, disk.trash)


def _remove_layer(disk: Disk, job: work.RemoveLayer) -> None:
    orphan = disk.metadata.orphan_layer(job.chain_id)
    try:
        disk.driver.remove(job.cache_id, disk.trash)
    except BaseException:
        disk.metadata.restore_layer(orphan, job.chain_id)
        raise
    disk.metadata.discard_orphan(orphan, disk.trash)


def _stream_layer(disk: Disk, job: work.StreamLayer, descriptors: work.Descriptors) -> None:
    what = f"the content of layer {job.chain_id}"
    try:
        packed = igzip.open(disk.metadata.tar_split_path(job.chain_id), "rb")
    except FileNotFoundError as error:
        raise IntegrityError(what, job.diff_id, "a layer without its tar-split file") from error
    with packed, _writer(descriptors) as out:
        actual = tar_split.assemble(packed, disk.driver.tree(job.cache_id).root, out)
    if actual != job.diff_id:
        raise IntegrityError(what, job.diff_id, actual)


def _create_mount(disk: Disk, job: work.CreateMount) -> None:
    driver, metadata = disk.driver, disk.metadata
    transaction = new_transaction()
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
        driver.remove(job.mount_id, disk.trash)
        if job.init_id is not None:
            driver.remove(job.init_id, disk.trash)
        metadata.discard(transaction, disk.trash)
        raise


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


def _remove_mount(disk: Disk, job: work.RemoveMount) -> None:
    discarded = disk.metadata.discard_mount(job.name, disk.trash)
    try:
        disk.driver.remove(job.mount_id, disk.trash)
    except BaseException:
        disk.metadata.restore_mount(discarded, job.name)
        raise
    if job.init_id is not None:
        try:
            disk.driver.remove(job.init_id, disk.trash)
        except LayerStoreError as error:
            # Nothing names the init layer any more, so the next open reaps it.
            _log.warning("mount %s: its init layer stays for now: %s", job.name, error)


def _writer(descriptors: work.Descriptors) -> BinaryIO:
    return io.FileIO(descriptors[0].fileno(), "wb", closefd=False)


def _sync_file_system(root: str) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
