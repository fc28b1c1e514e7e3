"""What a driver worker works with: its own thread for short jobs, a child process for heavy ones.

Owns at most one child, spawned when first wanted and replaced after it died.
"""

from __future__ import annotations

from collections.abc import Callable

from layerstore.drivers import work
from layerstore.drivers.disk import Disk, DiskConfig
from layerstore.drivers.errors import WorkerDied
from layerstore.drivers.perform import perform
from layerstore.drivers.process import ChildProcess


class WorkerHands:
    """Hands for one worker; with `children` False everything runs in the worker's thread."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        *,
        children: bool = True,
        nice: int = 0,
        on_close: Callable[[WorkerHands], None] | None = None,
    ) -> None:
        """Make hands without a child; `on_close` is called with them when they are closed."""
        self._disk = disk
        self._config = config
        self._children = children
        self._nice = nice
        self._on_close = on_close
        self._child: ChildProcess | None = None

    def perform(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        """Do the job, closing the descriptors; raises LayerStoreError and nothing else."""
        try:
            if not (job.heavy and self._children):
                return perform(self._disk, job, descriptors)
            return self._perform_in_child(job, descriptors)
        finally:
            for descriptor in descriptors:
                descriptor.close()

    def _perform_in_child(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        child = self._child = self._child or ChildProcess(self._config, nice=self._nice)
        try:
            return child.perform(job, descriptors)
        except WorkerDied:
            self._child = None
            self._clean_after(job)
            raise

    def _clean_after(self, job: work.Job) -> None:
        # A child that died can't throw away what it had begun.
        if isinstance(job, work.ApplyLayer):
            discard = work.DiscardLayer(transaction=job.transaction, cache_id=job.cache_id)
            perform(self._disk, discard, ())

    def warm_up(self) -> None:
        """Spawn the child if there is none, without waiting for its start-up."""
        if self._children and self._child is None:
            self._child = ChildProcess(self._config, nice=self._nice)

    @property
    def child_pid(self) -> int | None:
        """Process ID of the child, if there is one."""
        return self._child.pid if self._child is not None else None

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
