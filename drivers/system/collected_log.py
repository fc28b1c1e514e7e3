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
    """Collect what is logged in a `with` block, and in none within, which is for others to log.

    For processes without threads. A fork that is made in such a block has the handler already.
    """
    around, lines = _handler.lines, _handler.begin()
    if around is None:
        _log.addHandler(_handler)
    try:
        yield lines
    finally:
        _handler.lines = around
        if around is None:
            _log.removeHandler(_handler)


def log_again(lines: Sequence[tuple[int, str]], child: int | None = None) -> None:
    """Log what another process has collected, with its ID where that is given."""
    who = f"child {child}: " if child is not None else ""
    for level, line in lines[:_MOST_LINES]:
        _log.log(level, "%s%s", who, escaped(line[:_LONGEST]))


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: Lines | None = None

    def begin(self) -> Lines:
        self.lines = []
        return self.lines

    def emit(self, record: logging.LogRecord) -> None:
        if self.lines is not None and len(self.lines) < _MOST_LINES:
            self.lines.append((record.levelno, record.getMessage()[:_LONGEST]))


_handler = _Collecting()
