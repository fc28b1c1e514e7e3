"""Doing a job that reads a tar or writes one: unpacking layers, streaming them, and undoing that.

Owns the order of its steps, as `perform`, which gives it such jobs.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from isal import igzip

from layerstore.drivers import work
from layerstore.drivers.errors import IntegrityError, InternalError
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.tree import Applied
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.removal import discard_layer
from layerstore.drivers.root.replay import replay_layer
from layerstore.drivers.root.trash import make_room
from layerstore.drivers.system.durable import sync_file_system
from layerstore.drivers.tar.source import open_source

_TAR_SPLIT_LEVEL = 1
_ROOM = 1 << 30
"""Bytes that should be free before something is made whose size isn't known."""


def perform_on_tars(disk: Disk, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
    """Do one job and return its outcome; raises LayerStoreError only, through `perform`."""
    match job:
        case work.ApplyLayer():
            make_room(disk.root, disk.trash, _wanted(job.source))
            return _apply_layer(disk, job, descriptors)
        case work.StreamLayer():
            with _writer(descriptors) as out:
                replay_layer(disk, job.chain_id, job.cache_id, job.diff_id, out)
        case work.StreamDifference():
            with _writer(descriptors) as out:
                disk.driver.diff(job.layer_id, job.parent_id, out, job.style)
        case work.ApplyToMount():
            make_room(disk.root, disk.trash, _wanted(job.source))
            return _apply(disk, job.mount_id, job.parent_id, job.source, descriptors).size
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
        discard_layer(disk, transaction, job.cache_id)
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


def _writer(descriptors: work.Descriptors) -> BinaryIO:
    return io.FileIO(descriptors[0].fileno(), "wb", closefd=False)
