"""What a store records of itself: the tracer of its actors, and its journal.

Owns the tracer, which outlives a repair, and at most one journal at a time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from layerstore.actors.trace import Tracer, record_of
from layerstore.drivers.errors import DriverError
from layerstore.drivers.journal import Journal

log = logging.getLogger("layerstore")

VARIABLE = "LAYERSTORE_TRACE"

Path = str | os.PathLike[str]


class Recording:
    """The tracer of one store, and where its records go besides the ring."""

    def __init__(self, size: int, *, root: str, driver: str) -> None:
        self.tracer = Tracer(size)
        self._root, self._driver = root, driver
        self._journal: Journal | None = None

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
        self.tracer.send_to(None)
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
        if path is not None:
            self._journal = Journal(
                os.fsdecode(path), root=self._root, driver=self._driver, row=_row
            )
            self.tracer.send_to(self._journal.put)

    def close(self) -> None:
        """End the journal. Idempotent."""
        self.write_to(None)


def _row(envelope: object) -> Sequence[object]:
    return record_of(envelope)  # type: ignore[arg-type]
