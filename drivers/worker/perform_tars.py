"""Doing a job that reads a tar or writes one: unpacking layers, streaming them, and undoing that.

Owns the order of its steps, as `perform`, which gives it such jobs.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO, cast

import msgspec
from isal import igzip, igzip_lib
from msgspec import Struct, structs

from layerstore.drivers import work
from layerstore.drivers.errors import IntegrityError, InternalError
from layerstore.drivers.model.ids import diff_id
from layerstore.drivers.model.tree import Applied, LaterPaths, LayerTree
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.removal import discard_layer
from layerstore.drivers.root.replay import replay_layer
from layerstore.drivers.root.trash import ROOM, make_room
from layerstore.drivers.system.durable import sync_all_beside
from layerstore.drivers.system.frames import convert
from layerstore.drivers.tar.source import open_source

_TAR_SPLIT_LEVEL = 1
_LITTLE = 1 << 16
"""Bytes of records that are few: of some hundred members."""


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
    return max(ROOM, 2 * (source.size or 0))


def _apply_layer(
    disk: Disk, job: work.ApplyLayer, descriptors: work.Descriptors
) -> work.AppliedLayer:
    metadata = disk.metadata
    transaction = job.transaction
    if not job.created:
        metadata.begin(transaction)
    try:
        if not job.created:
            disk.driver.create(job.cache_id, job.parent_cache_id)
        path = f"{metadata.transaction_path(transaction)}/tar-split.json.gz"
        split = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            applied = _apply(
                disk,
                job.cache_id,
                job.parent_cache_id,
                job.source,
                descriptors,
                split,
                gated=job.gated,
            )
            files = {
                "diff": applied.diff_id,
                "size": str(applied.size),
                "cache-id": job.cache_id,
                "parent": job.parent,
                "descriptor.json": job.descriptor,
            }
            metadata.write(transaction, files)
            if disk.durable:
                sync_all_beside(split, path)
        finally:
            os.close(split)
    except BaseException:
        discard_layer(disk, transaction, job.cache_id)
        raise
    return work.AppliedLayer(
        diff_id=diff_id(applied.diff_id),
        size=applied.size,
        tar_size=applied.tar_size,
    )


class Unpacking(Struct, frozen=True, kw_only=True):
    """What a process that unpacks is told; descriptors come with it, that of a tar-split last."""

    layer_id: str
    parent_id: str | None
    source: work.TarSource
    split: bool


def _apply(
    disk: Disk,
    layer_id: str,
    parent_id: str | None,
    source: work.TarSource,
    descriptors: work.Descriptors,
    split: int | None = None,
    *,
    gated: bool = False,
) -> Applied:
    tree = disk.driver.tree(layer_id)
    if gated:
        descriptors, gate = descriptors[:-1], descriptors[-1]
        lowers = LaterPaths(partial(_once_filled, tree.lowers, gate))
        tree = structs.replace(tree, lowers=lowers)
    what = Unpacking(layer_id=layer_id, parent_id=parent_id, source=source, split=split is not None)
    if disk.apart is None:
        applied = _unpack(disk, tree, what, descriptors, split)
    else:
        numbers = [descriptor.fileno() for descriptor in descriptors]
        given = numbers if split is None else [*numbers, split]
        applied = disk.apart(tree, msgspec.to_builtins(what), given)
    expected = source.expected_diff_id
    if expected is not None and applied.diff_id != expected:
        raise IntegrityError("the layer's diff ID", expected, applied.diff_id)
    return applied


def _once_filled(lowers: Sequence[str], gate: work.OwnedDescriptor) -> Sequence[str]:
    """Return lower directories, having waited until all is in them that will be."""
    poll = select.poll()
    poll.register(gate.fileno(), select.POLLIN)
    poll.poll()
    return lowers


def unpack(disk: Disk, tree: LayerTree, what: object, numbers: Sequence[int]) -> Applied:
    """Do what `disk.apart` is given, in the process that it is given to, which owns the numbers.

    Raises LayerStoreError only.
    """
    told = convert(what, Unpacking)
    given = [work.OwnedDescriptor(number) for number in numbers]
    split = given.pop().detach() if told.split else None
    return _unpack(disk, tree, told, tuple(given), split)


def _unpack(
    disk: Disk,
    tree: LayerTree,
    what: Unpacking,
    descriptors: work.Descriptors,
    split: int | None,
) -> Applied:
    with (
        failing_as("unpack", disk),
        open_source(what.source, descriptors, disk.limits) as tar,
        _packed(split) as records,
    ):
        return disk.driver.apply_diff(
            what.layer_id,
            what.parent_id,
            tar.stream,
            tar_split=records,
            limits=disk.limits,
            tree=tree,
        )


@contextlib.contextmanager
def _packed(split: int | None) -> Iterator[BinaryIO | None]:
    """Give a gzip writer into a file, all of which is handed to the kernel in the end."""
    if split is None:
        yield None
        return
    with open(split, "wb", closefd=False) as raw, contextlib.closing(_Packing(raw)) as packing:
        yield cast("BinaryIO", packing)


class _Packing:
    """Writes gzip; what is little is packed at once, in the end."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._little = bytearray()
        self._packed: igzip.GzipFile | None = None

    def write(self, piece: bytes) -> None:
        if self._packed is None:
            if len(self._little) + len(piece) <= _LITTLE:
                self._little += piece
                return
            self._packed = igzip.GzipFile(
                fileobj=self._raw, mode="wb", compresslevel=_TAR_SPLIT_LEVEL, mtime=0
            )
            self._packed.write(self._little)
        self._packed.write(piece)

    def close(self) -> None:
        if self._packed is not None:
            self._packed.close()
            return
        # GzipFile, or default memory, would be 70 to 140 pages that a fork has to make.
        gzip, least = igzip_lib.COMP_GZIP, igzip_lib.MEM_LEVEL_MIN
        self._raw.write(igzip_lib.compress(self._little, _TAR_SPLIT_LEVEL, gzip, least))


def _writer(descriptors: work.Descriptors) -> BinaryIO:
    return io.FileIO(descriptors[0].fileno(), "wb", closefd=False)
