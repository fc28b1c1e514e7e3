"""Forks of read-write layers: their directories, and what the root keeps beside a layer.

Owns that a fork has all that belongs to its source: an init layer of its own, the record of which
image it was made from, its volumes. The order in which that gets a name is creation's.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.times import now
from layerstore.drivers.records.containers import ContainerRecords
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.trash import ROOM, make_room
from layerstore.drivers.root.volumes import discard_volumes, fork_volumes, give_volumes, has_volumes
from layerstore.drivers.work import ForkMount, ResetMount


def fork_directories(driver: GraphDriver, job: ForkMount) -> None:
    """Make a layer and its init layer like another's."""
    parent = job.parent_cache_id
    for layer, source in _pairs(job):
        driver.fork(layer, source, parent)
        parent = layer
    if job.id_map:
        driver.give_map(job.mount_id, job.id_map)


def fill_directories(driver: GraphDriver, job: ForkMount) -> None:
    """Copy what a layer and its init layer are to have."""
    for layer, source in _pairs(job):
        driver.fill(layer, source)


def _pairs(job: ForkMount) -> Iterator[tuple[str, str]]:
    if job.init_id is not None and job.source_init_id is not None:
        yield job.init_id, job.source_init_id
    yield job.mount_id, job.source_id


def carry_over(disk: Disk, job: ForkMount) -> None:
    """Copy what the root keeps beside the source."""
    records = ContainerRecords(disk.root, durable=disk.durable)
    record = records.read(job.source_id) if records.exist else None
    if record is not None:
        records.write(job.mount_id, structs.replace(record, created=now()))
    if has_volumes(disk.root):
        fork_volumes(disk.root, job.source_id, job.mount_id)
        if job.id_map:
            give_volumes(disk.root, job.mount_id, disk.driver.id_map(job.source_id), job.id_map)


def forget(disk: Disk, job: ForkMount) -> None:
    """Undo carry_over. Idempotent."""
    records = ContainerRecords(disk.root, durable=disk.durable)
    if records.exist:
        records.delete(job.mount_id)
    discard_volumes(disk.root, job.mount_id, disk.trash)


def reset_mount(disk: Disk, job: ResetMount) -> None:
    """Have a read-write layer show its parent's content again; its volumes stay as they are."""
    make_room(disk.root, disk.trash, ROOM)
    disk.driver.reset(job.mount_id, job.spare_id, job.parent_id, disk.trash)
