"""What an open store tells of itself: its driver, its messages, its figures.

Owns nothing; a journal that is written meanwhile is the recording's.
"""

from __future__ import annotations

import contextlib
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator

from layerstore.actors.watching.trace import TraceRecord
from layerstore.actors.watching.waiting import Waiting
from layerstore.drivers.confine.confine import Confinement
from layerstore.drivers.errors import InvalidMetadata
from layerstore.observe.metrics import Metrics, measure
from layerstore.observe.recording import Recording
from layerstore.operations.face import Face


class Observing(Face):
    """The part of LayerStore that only looks."""

    @property
    @abstractmethod
    def _recording(self) -> Recording:
        """Return what goes on in this process. Raises OwnersAlone for an attached store."""

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
        ends with the store. Where the disk is full, records are lost and nothing else. For one
        thread at a time. Raises DriverError, StoreClosed.
        """
        self.core.check_open()
        self._recording.write_to(path)

    def metrics(self) -> Metrics:
        """Return a snapshot of what the store holds, has done and is doing.

        `layerstore.prometheus` serves it. Raises StoreClosed, DriverError.
        """
        return measure(self.core)

    @contextlib.contextmanager
    def trace_into(self, take: Callable[[TraceRecord], None]) -> Iterator[None]:
        """Have `take` called with each message, job and answer once it is done, in a `with` block.

        It is called in the actors' threads, so it must not wait, nor use the store.
        `layerstore.otel` makes spans of them.
        """
        with self._recording.also_into(take):
            yield
