"""A trace in memory: the records of one session, and what belongs to what.

Owns the index of records by number and by cause. It reads files and changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from layerstore.actors.watching.trace import ANSWER, TraceRecord
from layerstore.drivers.errors import InvalidTrace
from layerstore.drivers.records.journal_format import Header
from layerstore.drivers.records.journal_read import Session, read_sessions

Records = Sequence[TraceRecord]


@dataclass(slots=True)
class Trace:
    """The records of one session, ordered by number."""

    header: Header
    records: list[TraceRecord]
    notes: list[str] = field(default_factory=list)
    """What is missing, in words."""
    version: str = ""
    """Of the layerstore that was asked for them, where it runs."""

    @property
    def begin(self) -> int:
        """When the first of them was sent, in nanoseconds of the monotonic clock."""
        return min((record.enqueued for record in self.records), default=self.header.monotonic)

    def moment(self, at: int) -> datetime:
        """Return the time of day of a time of the monotonic clock."""
        return datetime.fromtimestamp(self._wall(at), UTC)

    def _wall(self, at: int) -> float:
        seconds = (self.header.wall + at - self.header.monotonic) / 1e9
        return min(max(seconds, 0.0), _LAST_SECOND)

    def monotonic(self, moment: datetime) -> int:
        """Return the time of the monotonic clock at a time of day."""
        wall = int(moment.timestamp() * 1_000_000) * 1000
        return wall - self.header.wall + self.header.monotonic


_LAST_SECOND = 253402300799.0  # of the year 9999


def load(path: str, session: str | None = None) -> Trace:
    """Read a journal's newest session, or the one whose name begins so.

    Raises DriverError, InvalidTrace.
    """
    found = read_sessions(path)
    if session is not None:
        found = [one for one in found if one.header.session.startswith(session)]
        if not found:
            raise InvalidTrace(path, 0, f"no session in it begins with {session}")
    return as_trace(found[-1])


def as_trace(session: Session) -> Trace:
    """Return a session as a trace."""
    return Trace(session.header, list(map(TraceRecord._make, session.rows)), session.notes)


def answers(records: Iterable[TraceRecord]) -> dict[int, TraceRecord]:
    """Return the record of each request's answer, by the request's number.

    A request that was answered at once is its own.
    """
    found: dict[int, TraceRecord] = {}
    for record in records:
        if is_answer(record):
            found[record.request] = record
    return found


def is_answer(record: TraceRecord) -> bool:
    """Whether a caller had an answer then."""
    return record.kind == ANSWER or (is_call(record) and record.outcome != "pending")


def is_call(record: TraceRecord) -> bool:
    """Whether it is what a caller has asked."""
    return record.cause == 0 and record.sender == "caller"


def by_cause(records: Iterable[TraceRecord]) -> dict[int, list[TraceRecord]]:
    """Return what each message led to, in order."""
    found: dict[int, list[TraceRecord]] = defaultdict(list)
    for record in records:
        found[record.cause].append(record)
    return found


def lanes(records: Iterable[TraceRecord]) -> list[str]:
    """Return everybody who sends or receives: callers, then actors, workers, their children."""
    names = {name for record in records for name in (record.sender, record.receiver)}
    return sorted(names, key=_lane_order)


_ORDER = ("caller", "opening", "images", "mounts", "layers", "pool", "reaper")


def _lane_order(name: str) -> tuple[int, int, str]:
    if name in _ORDER:
        # The reaper and its child stand at the end, with those who work.
        return (_ORDER.index(name) if name != "reaper" else 100, 0, name)
    kind = 50 if "worker" in name else 200 if name.startswith("child ") else 40
    digits = "".join(c for c in name if c.isdecimal())[:18]
    return (kind, int(digits or 0), name)
