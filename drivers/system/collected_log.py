"""What a process of the store's own had to log, on its way to the process that asked for its work.

Owns how much of it gets there: whatever a hostile tar made of that process can say anything.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from layerstore.drivers.system.printable import escaped

Lines = list[tuple[int, str]]
"""Level and text of each message."""

_log = logging.getLogger("layerstore")
_MOST_LINES = 100
_LONGEST = 1000


@contextlib.contextmanager
def collected() -> Iterator[Lines]:
    """Collect what is logged in a `with` block, which is for others to log."""
    handler = _Collecting()
    _log.addHandler(handler)
    try:
        yield handler.lines
    finally:
        _log.removeHandler(handler)


def log_again(lines: Sequence[tuple[int, str]], child: int | None = None) -> None:
    """Log what another process has collected, with its ID where that is given."""
    who = f"child {child}: " if child is not None else ""
    for level, line in lines[:_MOST_LINES]:
        _log.log(level, "%s%s", who, escaped(line[:_LONGEST]))


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: Lines = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < _MOST_LINES:
            self.lines.append((record.levelno, record.getMessage()[:_LONGEST]))
