"""Which records of a trace are looked at."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing.loaded import Trace
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.times import parse_time

_GRAMMAR = "a time is RFC 3339, or seconds from the first record on"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a record must be like; patterns are those of a shell, without regard to case."""

    kinds: Sequence[str] = ()
    actors: Sequence[str] = ()
    """Senders or receivers."""
    outcomes: Sequence[str] = ()
    since: str | None = None
    """RFC 3339, or seconds from the first record on."""
    last: float | None = None
    """Seconds before the end of the last record."""
    slowest: int | None = None

    def fits(self, record: TraceRecord) -> bool:
        """Whether one record is looked at, its time aside."""
        return (
            _fits(self.kinds, record.kind)
            and _fits(self.actors, record.sender, record.receiver)
            and _fits(self.outcomes, record.outcome)
        )

    def of(self, trace: Trace) -> list[TraceRecord]:
        """Return what is looked at, ordered by number, or the slowest first.

        Raises InvalidArgument where `since` is no time.
        """
        begin = self._begin(trace)
        found = [r for r in trace.records if r.ended >= begin and self.fits(r)]
        if self.slowest is not None:
            found.sort(key=lambda record: record.enqueued - record.ended)
            del found[self.slowest :]
        return found

    def _begin(self, trace: Trace) -> int:
        begin = 0
        if self.since is not None:
            begin = _since(self.since, trace)
        if self.last is not None:
            end = max((record.ended for record in trace.records), default=0)
            begin = max(begin, end - int(self.last * 1e9))
        return begin


def _since(text: str, trace: Trace) -> int:
    moment = parse_time(text)
    if moment is not None:
        return trace.monotonic(moment)
    try:
        return trace.begin + int(float(text) * 1e9)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(text, _GRAMMAR) from error


def _fits(patterns: Iterable[str], *names: str) -> bool:
    patterns = list(patterns)
    return not patterns or any(
        fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names for pattern in patterns
    )
