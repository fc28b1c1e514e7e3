"""Records as text and as JSON; all that was read is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.output.tables import table
from layerstore.drivers.system.printable import escaped

_MICROSECOND, _MILLISECOND, _SECOND = 1000, 1_000_000, 1_000_000_000
_TITLES = (
    "NUMBER", "CAUSE", "REQUEST", "AT", "FROM", "TO", "KIND", "WAITED", "WORKED", "OUTCOME", "ABOUT"
)  # fmt: skip


def human_time(nanoseconds: float) -> str:
    """Return a length of time with three digits: `1.23 ms`."""
    if abs(nanoseconds) < _MILLISECOND:
        return f"{nanoseconds / _MICROSECOND:.3g} us"
    if abs(nanoseconds) < _SECOND:
        return f"{nanoseconds / _MILLISECOND:.3g} ms"
    return f"{nanoseconds / _SECOND:.4g} s"


def listed(records: Iterable[TraceRecord], begin: int) -> str:
    """Return a table of records; times are seconds after `begin`."""
    return table(_TITLES, [_cells(record, begin) for record in records])


def _cells(record: TraceRecord, begin: int) -> tuple[str, ...]:
    return (
        str(record.sequence),
        str(record.cause or "-"),
        str(record.request),
        f"{(record.enqueued - begin) / _SECOND:.6f}",
        escaped(record.sender),
        escaped(record.receiver),
        escaped(record.kind),
        human_time(record.started - record.enqueued),
        human_time(record.ended - record.started),
        escaped(record.outcome),
        escaped(record.summary),
    )


def line(record: TraceRecord, begin: int) -> str:
    """Return one record as a line with columns of usual widths, for when more will come."""
    number, _, request, at, sender, receiver, kind, waited, worked, outcome, about = _cells(
        record, begin
    )
    return (
        f"{at:>12} {number:>7} {request:>7} {sender:>14} -> {receiver:14} {kind:14} "
        f"{waited:>8} {worked:>8} {outcome:8} {about}"
    ).rstrip()


def facts(record: TraceRecord) -> dict[str, Any]:
    """Return a record for JSON; times are nanoseconds of the monotonic clock."""
    return {**record._asdict(), "facts": dict(record.facts)}
