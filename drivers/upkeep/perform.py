"""Doing the jobs of a check and the steps of a repair.

Owns what each step does to the disk. Everything that goes, goes through the trash by a rename, so
every step can be taken again after a crash in it.
"""

from __future__ import annotations

import os

from layerstore.drivers.errors import InternalError
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.ids import chain_id, new_transaction
from layerstore.drivers.model.repair_step import Action, RepairStep
from layerstore.drivers.records.imagedb import ImageDatabase, image_id
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.removal import remove_layer, remove_mount
from layerstore.drivers.root.replay import verify_layer
from layerstore.drivers.root.trash import unmount_beneath
from layerstore.drivers.system.durable import sync_directory
from layerstore.drivers.upkeep import check
from layerstore.drivers.upkeep.repair_plan import plan
from layerstore.drivers.work import RemoveMount
from layerstore.drivers.work import checks as work


def perform_check(disk: Disk, job: work.CheckJob) -> list[Fault] | list[RepairStep] | None:
    """Do one job."""
    match job:
        case work.InspectRoot():
            return check.faults(disk, check.survey(disk, job.mounted))
        case work.VerifyLayer():
            return verify_layer(disk, job.chain_id, job.cache_id, job.diff_id, job.size)
        case work.PlanRepair():
            return plan(disk, check.survey(disk, job.mounted), job.faults, job.busy)
        case work.Repair():
            _take(disk, job.step)
        case _:
            raise InternalError("perform_check", f"no such job: {type(job).__name__}")
    return None


def _take(disk: Disk, step: RepairStep) -> None:
    match step.action:
        case Action.SET_ASIDE:
            _set_aside(disk, step.path)
        case Action.REMOVE_NAME:
            _remove_names(_images(disk), name=step.target)
        case Action.REMOVE_IMAGE:
            _remove_image(disk, step)
        case Action.REMOVE_MOUNT:
            mount, *init = step.ids
            for layer_id in step.ids:
                unmount_beneath(f"{disk.driver.home}/{layer_id}")
            removal = RemoveMount(
                name=step.target,
                mount_id=mount,
                init_id=init[0] if init else None,
                transaction=new_transaction(),
            )
            remove_mount(disk, removal)
        case Action.REMOVE_LAYER:
            unmount_beneath(f"{disk.driver.home}/{step.ids[0]}")
            remove_layer(disk, chain_id(step.target), step.ids[0])
        case Action.UNMOUNT:
            unmount_beneath(step.path)
        case Action.FINISH_REMOVAL:
            _remove_directories(disk, step.ids)
            disk.metadata.discard_orphan(step.path, disk.trash)
        case Action.DISCARD_TRANSACTION:
            disk.metadata.discard(step.target, disk.trash)
        case Action.REMOVE_DIRECTORY:
            _remove_directories(disk, step.ids)
        case Action.MEND:
            if step.kind is not None and disk.driver.exists(step.target):
                disk.driver.mend(step.kind, step.target)


def _images(disk: Disk) -> ImageDatabase:
    return ImageDatabase(disk.root, disk.driver.name, durable=disk.durable)


def _set_aside(disk: Disk, path: str) -> None:
    try:
        os.rename(path, f"{disk.trash}/repaired-{os.urandom(16).hex()}")
    except FileNotFoundError:
        return
    if disk.durable:
        sync_directory(os.path.dirname(path))


def _remove_names(database: ImageDatabase, *, name: str = "", image: str = "") -> None:
    before = database.repositories()
    after = {
        repository: {given: to for given, to in names.items() if given != name and to != image}
        for repository, names in before.items()
    }
    after = {repository: names for repository, names in after.items() if names}
    if after != before:
        database.write_repositories(after)


def _remove_image(disk: Disk, step: RepairStep) -> None:
    database = _images(disk)
    _remove_names(database, image=step.target)
    if os.path.isfile(step.path) and not os.path.islink(step.path):
        database.remove(image_id(step.target))
    else:
        _set_aside(disk, step.path)


def _remove_directories(disk: Disk, ids: tuple[str, ...]) -> None:
    for layer_id in ids:
        unmount_beneath(f"{disk.driver.home}/{layer_id}")
        disk.driver.remove(layer_id, disk.trash)
