"""What a store records of itself: the tracer of its actors, and its journal.

Owns the tracer, which outlives a repair, and at most one journal at a time. Threads that want
another one come one after the other: a thread of its own, begun with the first, does it for them.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.watching.trace import Envelope, Tracer, TraceRecord, record_of
from layerstore.drivers.errors import DriverError, StoreClosed
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
        self._switching = ThreadPoolExecutor(1, thread_name_prefix="journals")
        self._pid = os.getpid()

    def begin(self, path: Path | None, *, as_left: bool = False) -> None:
        """Write a journal to `path`, or to where the environment says; DriverError for a `path`.

        `as_left` says that one is gone on with, or none: where that fails it is logged.
        """
        if path is not None and not as_left:
            self._switch(path)
            return
        wanted = path if as_left else os.environ.get(VARIABLE)
        if wanted:
            try:
                self._switch(wanted)
            except DriverError as error:
                # Whoever set the variable meant to look on, not to keep programs from working.
                log.warning("%s: not traced: %s", "as before" if as_left else VARIABLE, error)

    def write_to(self, path: Path | None) -> None:
        """End the journal, if there is one, and begin one at `path`.

        Raises DriverError, StoreClosed.
        """
        self.switch(path).get()

    def switch(self, path: Path | None) -> Notifying[None]:
        """Have `write_to` done, without waiting; the future holds what it raises."""
        done: Notifying[None] = Notifying()
        try:
            self._switching.submit(self._switch_for, path, done)
        except RuntimeError:  # it is shut down
            error = StoreClosed(self._root)
            done.set_exception((type(error), error, None))
        return done

    def _switch_for(self, path: Path | None, done: Notifying[None]) -> None:
        try:
            self._switch(path)
        except Exception:  # noqa: BLE001 - whatever it is, it is the answer
            done.set_exception()
        else:
            done.set()

    def _switch(self, path: Path | None) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            self.tracer.send_no_more_to(journal.put)
            journal.close()
        if path is not None:
            journal = Journal(os.fsdecode(path), root=self._root, driver=self._driver, row=_row)
            self.tracer.send_to(journal.put)
            self._journal = journal

    @contextlib.contextmanager
    def also_into(self, take: Callable[[TraceRecord], None]) -> Iterator[None]:
        """Give each record to `take` too, for a `with` block."""

        def sink(envelope: Envelope) -> None:
            try:
                take(record_of(envelope))
            except Exception:  # what watches must not end an actor
                log.exception("%r failed to take a record", take)

        self.tracer.send_to(sink)
        try:
            yield
        finally:
            self.tracer.send_no_more_to(sink)

    def close(self) -> None:
        """End the journal. Idempotent."""
        if os.getpid() == self._pid:
            self._switching.shutdown()
            self._switch(None)


def _row(envelope: object) -> Sequence[object]:
    return record_of(envelope)  # type: ignore[arg-type]
