"""What an open store tells of itself: its driver, its messages, its figures.

Owns nothing; a journal that is written meanwhile is the recording's.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from layerstore.operations.face import Face

if TYPE_CHECKING:
    from layerstore.actors.watching.trace import TraceRecord
    from layerstore.actors.watching.waiting import Waiting
    from layerstore.drivers.confine.confine import Confinement
    from layerstore.drivers.errors import InvalidMetadata
    from layerstore.observe.metrics import Metrics


class Traced(Protocol):
    """What goes on in a store, here or in another process; see Observing."""

    def trace_to(self, path: str | os.PathLike[str] | None) -> None:
        """Have a journal written, or none."""

    def trace_into(
        self, take: Callable[[TraceRecord], None], lost: Callable[[int], None] | None
    ) -> AbstractContextManager[None]:
        """Have `take` called with each record."""


class Observing(Face):
    """The part of LayerStore that only looks."""

    @property
    @abstractmethod
    def _traced(self) -> Traced:
        """Return what the store stands on."""

    @property
    def faults(self) -> list[InvalidMetadata]:
        """The metadata on the disk that can't be used, and why."""
        return self.core.faults

    @property
    def driver_name(self) -> str:
        """Name of the graph driver. moby: Store.DriverName."""
        return self.core.disk.driver.name

    def driver_status(self) -> list[tuple[str, str]]:
        """Return pairs of what the graph driver says of itself. moby: Store.DriverStatus."""
        return self.core.disk.driver.status()

    def confinement(self) -> Confinement:
        """Return how the processes that unpack tars are confined, and what is missing, with why.

        A process is spawned for the first call. Raises StoreClosed, WorkerDied, DriverError.
        """
        return self.core.confinement()

    def trace(self) -> list[TraceRecord]:
        """Return the newest messages between the actors, in the order they were sent."""
        return list(self.core.records())

    def waiting(self) -> Waiting:
        """Return every call without an answer and what it waits for, and what each actor is at.

        Looks at the actors from outside, so it answers even where they don't. Calls are known only
        while the store is traced. Raises StoreClosed.
        """
        self.core.check_open()
        return self.core.waiting()

    def trace_to(self, path: str | os.PathLike[str] | None) -> None:
        """Write what is traced from now on to a journal for `layerstore trace`, or to none.

        `path` is a file, or a directory to make one in. A file that is there is moved to `path.1`,
        what is there to `path.2`, and so on, as when it has grown to 8 MiB; at most 8 are kept. It
        ends with the store. Where the disk is full, records are lost and nothing else. Of several
        calls the last one holds. For an attached store the owner writes it, until that is closed or
        somebody calls this again; `path` is then what the owner finds there. Raises
        InvalidArgument, DriverError, StoreClosed; attached also StoreBusy, while this process
        has called it already, and CallTimeout.
        """
        self._traced.trace_to(path)

    def metrics(self) -> Metrics:
        """Return a snapshot of what the store holds, has done and is doing.

        `layerstore.prometheus` serves it. Raises StoreClosed, DriverError.
        """
        # Only here: it is an operator's question.
        from layerstore.observe.metrics import measure  # noqa: PLC0415

        return measure(self.core)

    def trace_into(
        self, take: Callable[[TraceRecord], None], *, lost: Callable[[int], None] | None = None
    ) -> AbstractContextManager[None]:
        """Have `take` called with each message, job and answer once it is done, in a `with` block.

        It is called in the actors' threads, so it must not wait, nor use the store. Where those are
        in another process (an attached store, or `engine="process"`), it is called in a thread of
        its own, a twentieth of a second later, with what any process has asked; the end of the
        block waits for it. If it is too slow for what comes, records are lost there: `lost` is
        called with how many, or the log tells. Nothing more comes where an owner ends; an engine
        that goes on for a dead one is followed. `layerstore.otel` makes spans of them. Raises
        StoreClosed; and from another process StoreBusy, where this one has a thousand such blocks,
        StoreRestarted and CallTimeout.
        """
        return self._traced.trace_into(take, lost)
