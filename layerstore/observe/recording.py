"""What a store records of itself: the tracer of its actors, and its journal.

Owns the tracer, which outlives a repair, and at most one journal at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence

from layerstore.actors.watching.trace import Envelope, Sink, Tracer, TraceRecord, record_of
from layerstore.drivers.errors import DriverError
from layerstore.drivers.records.journal import Journal

log = logging.getLogger("layerstore")

VARIABLE = "LAYERSTORE_TRACE"

Path = str | os.PathLike[str]


class Recording:
    """The tracer of one store, and where its records go besides the ring."""

    def __init__(self, size: int, *, root: str, driver: str) -> None:
        self.tracer = Tracer(size)
        self._root, self._driver = root, driver
        self._journal: Journal | None = None
        self._others: tuple[Sink, ...] = ()

    def begin(self, path: Path | None) -> None:
        """Write a journal to `path`, or to where the environment says; DriverError for a `path`."""
        if path is not None:
            self.write_to(path)
            return
        wanted = os.environ.get(VARIABLE)
        if wanted:
            try:
                self.write_to(wanted)
            except DriverError as error:
                # Whoever set the variable meant to look on, not to keep programs from working.
                log.warning("%s: not traced: %s", VARIABLE, error)

    def write_to(self, path: Path | None) -> None:
        """End the journal, if there is one, and begin one at `path`. Raises DriverError."""
        journal, self._journal = self._journal, None
        self._set_sinks()
        if journal is not None:
            journal.close()
        if path is not None:
            self._journal = Journal(
                os.fsdecode(path), root=self._root, driver=self._driver, row=_row
            )
            self._set_sinks()

    @contextlib.contextmanager
    def also_into(self, take: Callable[[TraceRecord], None]) -> Iterator[None]:
        """Give each record to `take` too, for a `with` block."""

        def sink(envelope: Envelope) -> None:
            try:
                take(record_of(envelope))
            except Exception:  # what watches must not end an actor
                log.exception("%r failed to take a record", take)

        self._others = (*self._others, sink)
        self._set_sinks()
        try:
            yield
        finally:
            self._others = tuple(other for other in self._others if other is not sink)
            self._set_sinks()

    def _set_sinks(self) -> None:
        sinks = (*((self._journal.put,) if self._journal is not None else ()), *self._others)

        def all_of_them(envelope: Envelope) -> None:
            for sink in sinks:
                sink(envelope)

        self.tracer.send_to(sinks[0] if len(sinks) == 1 else all_of_them if sinks else None)

    def close(self) -> None:
        """End the journal. Idempotent."""
        self.write_to(None)


def _row(envelope: object) -> Sequence[object]:
    return record_of(envelope)  # type: ignore[arg-type]
