"""What asyncio does in a thread: rows of many steps, as the blocking face takes them.

A task that is cancelled doesn't wait for them; they go on to their end, and what comes of them
is undone where it can be.
"""

# Written by `python -m tools.faces`; edit what it is made from instead.

from __future__ import annotations

from typing import TYPE_CHECKING

from layerstore.api.threads import InThread
from layerstore.asking.progress import Progress
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.repair_step import RepairStep

if TYPE_CHECKING:
    from layerstore.engine.repairing import Announce
    from layerstore.observe.metrics import Metrics

    pass


class AsyncSteps(InThread):
    """The steps of a store; what they call back is called in their thread."""

    async def metrics(self) -> Metrics:
        """Return a snapshot of what the store holds, has done and is doing.

        `layerstore.prometheus` serves it. Raises StoreClosed, DriverError.
        """
        owner = self.blocking
        return await self.in_thread(owner.metrics)

    async def check(self, *, full: bool = False, progress: Progress | None = None) -> list[Fault]:
        """Compare the disk with the metadata and return what is wrong; nothing is changed.

        With `full` every layer's files are read, and must give the tar that was registered;
        `progress` is called with the bytes of the layers done. The store may be used meanwhile:
        what is just being made or removed is no fault. Raises CallTimeout, WorkerDied, DriverError
        where the disk can't be looked at.
        """
        owner = self.blocking
        return await self.in_thread(lambda: owner.check(full=full, progress=progress))

    async def repair(
        self,
        *,
        force: bool = False,
        dry_run: bool = False,
        announce: Announce | None = None,
        progress: Progress | None = None,
    ) -> list[RepairStep]:
        """Remove what nothing names and make again what follows from the rest; returns all steps.

        Without `force` nothing is lost, and steps whose `force` is set are only told. With it every
        layer is verified first, and layers, mounts and images that aren't whole go, with all that
        is made on them; layers beneath them stay. `announce` is called with the steps before the
        first is taken; `dry_run` takes none.

        A repair has the store to itself: where there is something to do, it lets go of all
        references, as closing does, keeps mounts (found again by get_rw_layer, and no longer
        unmounted by `close`), and opens the store anew. Waits until what was removed is deleted.
        Raises DriverError where a step fails; those before it are done, and it may be tried again.
        Raises OwnersAlone for an attached store.
        """
        owner = self.blocking
        return await self.in_thread(
            lambda: owner.repair(force=force, dry_run=dry_run, announce=announce, progress=progress)
        )
