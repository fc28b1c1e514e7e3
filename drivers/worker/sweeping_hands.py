"""What the reaper works with: hands whose child gives way to all others unless somebody waits.

Owns when the trash is emptied here and when in the child, and when that child is to hurry.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, WorkerDied
from layerstore.drivers.root.disk import Disk, DiskConfig
from layerstore.drivers.root.trash import FEW_NAMES, HANDS, MORE_NAMES, holds_little
from layerstore.drivers.worker.hands import WorkerHands
from layerstore.drivers.worker.process import ChildProcess


class SweepingHands(WorkerHands):
    """Hands for the reaper, which does nothing but empty the trash."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        *,
        is_awaited: Callable[[], bool],
        children: bool = True,
        on_close: Callable[[WorkerHands], None] | None = None,
    ) -> None:
        """Make hands without a child; `is_awaited` tells whether somebody waits for a sweep.

        Whoever makes it say so calls `hurry` afterwards.
        """
        super().__init__(disk, config, children=children, on_close=on_close)
        self._is_awaited = is_awaited
        self._retired = False

    def perform(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        """See Hands. Raises JobCancelled where the trash is left to others."""
        # Who can be asked in less time than it takes.
        if self._retired and not holds_little(self._disk.trash, MORE_NAMES):
            raise JobCancelled(type(job).__name__)
        try:
            return super().perform(job, descriptors)
        except WorkerDied:
            if self._retired:
                raise JobCancelled(type(job).__name__) from None
            raise

    def _wants_child(self, job: work.Job) -> bool:
        # Unless it takes no time here, or less than somebody would wait for the child's start.
        if not super()._wants_child(job) or self._retired:
            return False
        most = MORE_NAMES if self._is_awaited() else FEW_NAMES
        return self._child is not None or not holds_little(self._disk.trash, most)

    def _perform_in_child(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        if isinstance(job, work.SweepTrash):
            job = structs.replace(job, hands=HANDS)
        return super()._perform_in_child(job, descriptors)

    def _usable_child(self) -> ChildProcess:
        child = super()._usable_child()
        if self._retired:
            raise JobCancelled(work.SweepTrash.__name__)
        child.give_way()
        if self._is_awaited():
            child.hurry()
        return child

    def hurry(self) -> None:
        """Have the sweep under way go on like any other work, from any thread."""
        child = self._child
        if child is not None:
            child.hurry()

    def retire(self) -> None:
        """Have the trash left as it is, but for a little; from any thread."""
        self._retired = True
        self.kill()
