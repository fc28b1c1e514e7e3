"""How things look on a terminal: tables, sizes, ages and short IDs, as docker prints them.

Owns text only. Sources: docker/go-units (HumanSize, HumanDuration) and docker's own tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from layerstore.drivers.model.times import parse_time
from layerstore.drivers.system.printable import escaped

_GAP = 3
_SHORT_ID = 12
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MINUTE, _HOUR, _DAY, _WEEK, _MONTH, _YEAR = 60, 3600, 86400, 604800, 2592000, 31536000


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns, the titles first."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "".join(
        "".join(cell.ljust(width + _GAP) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def short(identity: str) -> str:
    """Return the 12 digits by which people know an ID."""
    return identity.removeprefix("sha256:")[:_SHORT_ID]


def human_size(size: int) -> str:
    """Return a number of bytes in decimal units with three digits: `1.23MB`."""
    value = float(size)
    for unit in _SIZES:
        text = f"{value:.3g}"
        if float(text) < 1000 or unit == _SIZES[-1]:
            return text + unit
        value /= 1000
    raise AssertionError("unreachable")


def human_age(created: str) -> str:
    """Return how long ago a time (RFC 3339) was; `N/A` for what is no time."""
    moment = parse_time(created)
    if moment is None:
        return "N/A"
    return f"{human_duration((datetime.now(UTC) - moment).total_seconds())} ago"


def human_duration(seconds: float) -> str:
    """Return a length of time in words, in its largest unit."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    if whole < 2 * _MINUTE:
        return "About a minute"
    if whole < _HOUR - _MINUTE // 2:
        return f"{whole // _MINUTE} minutes"
    if whole < 2 * _HOUR:
        return "About an hour"
    for unit, most, name in (
        (_HOUR, 2 * _DAY, "hours"),
        (_DAY, 2 * _WEEK, "days"),
        (_WEEK, 2 * _MONTH, "weeks"),
        (_MONTH, 2 * _YEAR, "months"),
    ):
        if whole < most:
            return f"{whole // unit} {name}"
    return f"{whole // _YEAR} years"


def printable(text: str, *, terminal: bool) -> str:
    """Return a path for output; on a terminal, control characters in it are escaped."""
    return escaped(text) if terminal else text
