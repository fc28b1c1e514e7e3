"""The inside of a store that this process has open: its disk and its actors.

Owns their start, their replacement when one of them has died, and their end. It decides nothing
about layers and mounts; that is the actors'.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, field

from layerstore.actors import messages as m
from layerstore.actors.books.retained import Retained
from layerstore.actors.runtime.calls import check_may_wait
from layerstore.actors.runtime.logs import number_lines
from layerstore.actors.runtime.ref import Address
from layerstore.actors.watching.trace import Took, TraceRecord
from layerstore.actors.watching.waiting import Waiting
from layerstore.asking.core import Core
from layerstore.drivers.errors import InvalidMetadata, LayerStoreError
from layerstore.drivers.root.disk import Disk, DiskConfig
from layerstore.engine.closing import unmount_by_hand, wind_up
from layerstore.engine.crew import Found, Staff
from layerstore.engine.generations import Generations
from layerstore.engine.watchdog import Watchdog


class Outliving(Struct, frozen=True, kw_only=True):
    """What is there before the actors are."""

    retained: Retained = field(default_factory=Retained)
    """What callers hold, from actors in a process that has died."""
    references_from: int = 1
    """The first number for references; those below are given out elsewhere."""


class Engine(Core):
    """The actors of one store that this process has open."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        staff: Staff,
        find: Callable[[], Found],
        outliving: Outliving,
    ) -> None:
        """Start the actors with what `find` finds on the disk; the root's lock must be held.

        `find` is called again when an actor has died. Raises what it raises.
        """
        number_lines()
        self.since = time.monotonic()
        """When it was begun, in seconds of the monotonic clock."""
        super().__init__(disk.root, durable=disk.durable, references_from=outliving.references_from)
        self._disk = disk
        self._config = config
        self.staff = staff
        self.tracer = staff.tracer
        self._generations = Generations(
            disk, config, staff, find, self._look_after, outliving.retained
        )
        self._watchdog = Watchdog(self.waiting, staff.stall_after)

    @property
    def disk(self) -> Disk:
        """See Core."""
        return self._disk

    @property
    def config(self) -> DiskConfig:
        """See Core."""
        return self._config

    @property
    def actors(self) -> Generations:
        """The actors of now."""
        return self._generations

    @property
    def workers(self) -> int:
        """See Core."""
        return self.staff.workers

    def call(self, ref: Address, message: m.Message, timeout: float | None = None) -> Any:
        """See Core.

        Giving back what isn't a layer's last reference needs no answer; nor does another one to
        a layer that is wanted often.
        """
        if isinstance(message, (m.GetLayer, m.ReleaseLayer)):
            check_may_wait(message)
            self.check_open()
            if isinstance(message, m.GetLayer):
                found = self._take(ref, message)
                if found is not None:
                    return found
            elif not message.keep and self.actors.give_back(message):
                return []
        return super().call(ref, message, timeout)

    def _take(self, ref: Address, message: m.GetLayer) -> m.LayerMetadata | None:
        try:
            return self.actors.take(message)
        except BaseException:
            self.abandon(ref, message)
            raise

    def slowest(self) -> Sequence[Took]:
        """See Core."""
        # Only here: few ever look.
        from layerstore.actors.watching.slowest import slowest  # noqa: PLC0415

        return slowest(self.tracer.remembered())

    def records(self) -> Sequence[TraceRecord]:
        """See Core."""
        return self.tracer.records()

    def waiting(self) -> Waiting:
        """Return what is under way; from any thread, whatever the actors are at."""
        return self.actors.waiting()

    @property
    def faults(self) -> list[InvalidMetadata]:
        """The metadata on the disk that can't be used."""
        return self.actors.faults

    @property
    def generation(self) -> int:
        """How often the actors were made anew."""
        return self.actors.number

    @property
    def staff_count(self) -> int:
        """How many workers, the reaper among them, could have a child now."""
        return self.actors.crew.hands_count

    # Closing

    def close(self, *, keep_mounts: bool, timeout: float, keep_trash: bool = False) -> None:
        """Refuse, drain, stop: see LayerStore.close."""
        if self._closing or os.getpid() != self._pid:
            return
        self._closing = True
        deadline = time.monotonic() + timeout
        failures: dict[str, LayerStoreError] | None = None
        try:
            failures = wind_up(self.actors, keep_mounts=keep_mounts, deadline=deadline)
        finally:
            if keep_trash:
                self.actors.leave_trash()
            self.actors.end(deadline)
            self._dismiss()
            self._watchdog.stop()
        if failures is None:
            failures = {} if keep_mounts else unmount_by_hand(self.disk, self.actors.retained)
        for error in failures.values():
            raise error
