"""Making read-write layers, new ones and forks: in which order directories and metadata come.

Owns the order, chosen so that a crash between any two steps leaves only what the next open reaps,
what is synced in between, and the way back where a step fails. Layers that are made together wait
for the disk together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from layerstore.drivers.errors import CallerError, DriverError, LayerStoreError
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.root.forking import (
    carry_over,
    fill_directories,
    forget,
    fork_directories,
)
from layerstore.drivers.root.trash import ROOM, make_room
from layerstore.drivers.system.durable import sync_all, syncing_file_system
from layerstore.drivers.work import USERNS, CreateMount, ForkMount

Making = CreateMount | ForkMount


def create_mount(disk: Disk, job: Making) -> None:
    """Make a read-write layer: its init layer where there is to be one, itself, its metadata."""
    with creating(disk, at_once=isinstance(job, ForkMount)) as making:
        making.make(job)
        for error in making.finish().values():
            raise error


@contextlib.contextmanager
def creating(disk: Disk, *, at_once: bool = False) -> Iterator[Creating]:
    """Give what makes read-write layers together; none is there before it is finished.

    With `at_once` they are synced by one sync of the file system, rather than file by file: how
    long that takes depends on what others have written there.
    """
    with contextlib.ExitStack() as stack:
        yield Creating(disk, stack, at_once=at_once)


class Creating:
    """Read-write layers that are being made."""

    def __init__(self, disk: Disk, stack: contextlib.ExitStack, *, at_once: bool) -> None:
        self._disk = disk
        self._stack = stack
        self._at_once = disk.durable and (at_once or disk.driver.copies)
        self._sync_file_system: Callable[[], None] | None = None
        self._begun = False
        self._made: dict[str, tuple[Making, list[str]]] = {}
        """By transaction; with what is to be synced."""
        self._named_before: list[Making] = []
        """By somebody who died, perhaps before that was synced."""
        self._errors: dict[str, LayerStoreError] = {}

    def make(self, job: Making) -> None:
        """Make all of a read-write layer but its name; `finish` tells whether that went well."""
        if self._begins(job):
            self._try(job, self._make)

    def finish(self) -> Mapping[str, LayerStoreError]:
        """Give all that were made their names; returns what went wrong, by transaction.

        Each of the others is on the disk for good, where that is wanted.
        """
        made = [job for job, _ in self._made.values()]
        if self._disk.durable:
            made = self._synced(made)
        named = [job for job in made if self._try(job, self._name)] + self._named_before
        try:
            if named:
                self._disk.metadata.sync_mounts()
        except LayerStoreError as error:
            for job in named:
                self._take_back(job, error)
        return self._errors

    def _try(self, job: Making, step: Callable[[Making], None]) -> bool:
        """Take a step with one layer; on an error nothing is left of it, which has no name yet."""
        try:
            with failing_as(type(job).__name__, self._disk):
                try:
                    step(job)
                except BaseException:
                    _undo(self._disk, job)
                    raise
        except LayerStoreError as error:
            self._errors[job.transaction] = error
            return False
        return True

    def _begins(self, job: Making) -> bool:
        """Whether anything is to be made: not where all is there, or can't be."""
        try:
            with failing_as(type(job).__name__, self._disk):
                if not self._begun:
                    self._begin()
                if job.again and self._disk.metadata.has_mount(job.name, job.mount_id):
                    self._named_before.append(job)
                    return False
        except LayerStoreError as error:
            self._errors[job.transaction] = error
            return False
        return True

    def _make(self, job: Making) -> None:
        disk = self._disk
        if job.again:
            _undo(disk, job)
        if isinstance(job, ForkMount):
            if not job.begun:
                begin_fork(disk, job)
            fill_directories(disk.driver, job)
            carry_over(disk, job)
            unsynced: list[str] = []  # the file system is
        else:
            disk.metadata.begin(job.transaction)
            unsynced = _make_directories(disk.driver, job)
        files = {"mount-id": job.mount_id, "init-id": job.init_id, "parent": job.parent}
        unsynced += disk.metadata.write(job.transaction, files)
        self._made[job.transaction] = job, unsynced

    def _begin(self) -> None:
        make_room(self._disk.root, self._disk.trash, ROOM)
        if self._at_once:
            opened = syncing_file_system(self._disk.root)
            self._sync_file_system = self._stack.enter_context(opened)
        self._begun = True

    def _synced(self, jobs: list[Making]) -> list[Making]:
        """Have what was made on the disk for good; returns of which jobs that is so."""
        if self._sync_file_system is not None and jobs:
            try:
                self._sync_file_system()
            except DriverError as error:
                if self._disk.driver.copies or any(isinstance(job, ForkMount) for job in jobs):
                    return [job for job in jobs if self._try(job, partial(_fail, error))]
                # It may be about somebody else's files: each layer's own tell.
            else:
                return jobs
        return [job for job in jobs if self._try(job, self._sync)]

    def _sync(self, job: Making) -> None:
        sync_all(dict.fromkeys(self._made[job.transaction][1]))

    def _name(self, job: Making) -> None:
        self._disk.metadata.name_mount(job.transaction, job.name)

    def _take_back(self, job: Making, cause: LayerStoreError) -> None:
        self._errors[job.transaction] = cause
        try:
            with failing_as(type(job).__name__, self._disk):
                if not (isinstance(job, ForkMount) and job.begun):
                    self._disk.metadata.orphan_mount(job.name, job.transaction)
                    _undo(self._disk, job)
        except LayerStoreError as error:
            self._errors[job.transaction] = error


def begin_fork(disk: Disk, job: ForkMount) -> None:
    """Do what of a fork has to be done where its mounts are to be seen; `take_back` undoes it."""
    make_room(disk.root, disk.trash, ROOM)
    disk.metadata.begin(job.transaction)
    fork_directories(disk.driver, job)


def take_back(disk: Disk, job: Making) -> None:
    """Undo what somebody who died has begun, or even has done without telling."""
    if disk.metadata.has_mount(job.name, job.mount_id):
        disk.metadata.orphan_mount(job.name, job.transaction)
    _undo(disk, job)


def _undo(disk: Disk, job: Making) -> None:
    if isinstance(job, ForkMount) and job.begun:
        return
    disk.driver.remove(job.mount_id, disk.trash)
    if job.init_id is not None:
        disk.driver.remove(job.init_id, disk.trash)
    disk.metadata.discard(job.transaction, disk.trash)
    if isinstance(job, ForkMount):
        forget(disk, job)


def _fail(error: LayerStoreError, _: Making) -> None:
    raise error


def _make_directories(driver: GraphDriver, job: CreateMount) -> list[str]:
    """Make a layer and its init layer; returns what is to be synced."""
    parent, unsynced = job.parent_cache_id, []
    if job.init_id is not None:
        unsynced = _make_init(driver, job, job.init_id)
        parent = job.init_id
    return unsynced + driver.create_read_write(
        job.mount_id, parent, mount_label=job.mount_label, storage_opt=job.storage_opt
    )


def _make_init(driver: GraphDriver, job: CreateMount, init_id: str) -> list[str]:
    # It is made by this machine's root, so that its owners on the disk are those that are inside.
    options = {key: value for key, value in job.storage_opt.items() if key != USERNS}
    unsynced = driver.create_read_write(
        init_id, job.parent_cache_id, mount_label=job.mount_label, storage_opt=options
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
    return unsynced
