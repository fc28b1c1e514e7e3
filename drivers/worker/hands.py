"""What a driver worker works with: its own thread for short jobs, a child process for heavy ones.

Owns at most one child, spawned when first wanted and replaced after it died.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from msgspec import structs

from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, WorkerDied
from layerstore.drivers.graph.lending import lend
from layerstore.drivers.root.creation import begin_fork, take_back
from layerstore.drivers.root.disk import Disk, DiskConfig
from layerstore.drivers.root.failing import failing_as
from layerstore.drivers.system.durable import unwritten
from layerstore.drivers.system.retry import retries
from layerstore.drivers.worker.perform import perform
from layerstore.drivers.worker.process import ChildProcess
from layerstore.drivers.worker.together import perform_here

_DURABLE_TOGETHER = 4
_QUIET = 4 << 20
"""Bytes that can be written in the time that the syncs of one creation take, file by file."""
_log = logging.getLogger("layerstore")


class WorkerHands:
    """Hands for one worker; with `children` False everything runs in the worker's thread."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        *,
        children: bool = True,
        on_close: Callable[[WorkerHands], None] | None = None,
    ) -> None:
        """Make hands without a child; `on_close` is called with them when they are closed."""
        self._disk = disk
        self._config = config
        self._children = children
        self._on_close = on_close
        self._child: ChildProcess | None = None
        self._asked: work.Job | None = None
        self._cancelled: work.Job | None = None
        self.retries = 0

    def perform(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        """Do the job, closing the descriptors; raises LayerStoreError and nothing else."""
        before = retries()
        self._asked = job
        try:
            if self._wants_child(job):
                if isinstance(job, work.ForkMount):
                    return self._perform_fork(job)
                return self._perform_in_child(job, descriptors)
            return perform(self._disk, job, descriptors)
        finally:
            self.retries = retries() - before
            for descriptor in descriptors:
                descriptor.close()

    def _wants_child(self, job: work.Job) -> bool:
        return job.heavy and self._children

    @property
    def takes_many(self) -> bool:
        """See Hands. A driver that copies takes too long to have others wait for the answer."""
        child = self._child
        return (
            child is not None
            and not self._disk.driver.copies
            and child.is_usable
            and child.is_ready
        )

    def perform_all(self, jobs: Sequence[work.Job]) -> list[work.Performed]:
        """See Hands."""
        done: list[work.Performed] = []
        syncs = self._disk.durable and any(isinstance(job, work.CreateMount) for job in jobs)
        quiet = not syncs or unwritten() < _QUIET * len(jobs)
        # Where each job waits for the disk, the first shouldn't wait long for the others.
        size = len(jobs) if quiet else _DURABLE_TOGETHER
        for start in range(0, len(jobs), size):
            done += self._perform_some(jobs[start : start + size], quiet=quiet)
        return done

    def _perform_some(self, jobs: Sequence[work.Job], *, quiet: bool) -> list[work.Performed]:
        again = False
        done: list[work.Performed | None] = [None] * len(jobs)
        if self._child is not None:
            try:
                done = self._child.perform_all(jobs, quiet=quiet)
            except WorkerDied as error:
                _log.warning("%s; they are done without it", error)
                self._child.close()
                self._child = None
                again = True
        return [
            known or perform_here(self._disk, job, again=again)
            for job, known in zip(jobs, done, strict=True)
        ]

    def _perform_fork(self, job: work.ForkMount) -> work.Outcome:
        """Make a fork, whose mounts this process is to see, and have the child fill it."""
        with failing_as(type(job).__name__, self._disk):
            try:
                begin_fork(self._disk, job)
                return self._perform_in_child(structs.replace(job, begun=True), ())
            except BaseException:
                take_back(self._disk, job)
                raise

    def _perform_in_child(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        child = self._usable_child()
        if self._cancelled is self._asked:
            raise JobCancelled(type(job).__name__)
        lent = lend(self._disk.driver, job.about)
        try:
            return child.perform(job, descriptors, lent)
        except WorkerDied:
            # What died may be the fork that unpacks, while the child is well.
            if not child.is_usable:
                child.close()
                self._child = None
            self._clean_after(job)
            raise
        finally:
            for number in lent.values():
                os.close(number)

    def _usable_child(self) -> ChildProcess:
        if self._child is not None and not self._child.is_usable:
            self._child.close()
            self._child = None
        return self._child or self._spawn()

    def _spawn(self) -> ChildProcess:
        try:
            return ChildProcess(self._config, announce=self._announce)
        except BaseException:
            self._child = None
            raise

    def _announce(self, child: ChildProcess) -> None:
        self._child = child

    def _clean_after(self, job: work.Job) -> None:
        # A child that died can't throw away what it had begun.
        if isinstance(job, work.ApplyLayer):
            discard = work.DiscardLayer(transaction=job.transaction, cache_id=job.cache_id)
            perform(self._disk, discard, ())

    def warm_up(self) -> None:
        """Spawn the child if there is none, without waiting for its start-up."""
        if self._children and self._child is None:
            self._spawn()

    @property
    def child_pid(self) -> int | None:
        """Process ID of the child, if there is one."""
        child = self._child
        return child.pid_by_now if child is not None else None

    def cancel(self, job: work.Job) -> None:
        """See Hands."""
        self._cancelled = job  # the child that is to do it may not be there yet
        self.kill()

    def kill(self) -> None:
        """Kill the child in the middle of whatever it does, from any thread."""
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child. Idempotent."""
        child, self._child = self._child, None
        if child is not None:
            child.close()
        if self._on_close is not None:
            self._on_close(self)
