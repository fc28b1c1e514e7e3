"""Times as images and records write them: RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from layerstore.drivers.errors import InvalidArgument

_FORMAT = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)


def now() -> str:
    """Return this moment in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def moment(given: str | None) -> str:
    """Return a time that a caller gives, or else this moment.

    Raises InvalidArgument for what dockerd couldn't read in an image.
    """
    if not given:
        return now()
    if not is_gos(given):
        raise InvalidArgument(given, "a time is of RFC 3339, as 2026-01-31T12:00:00Z")
    return given


def is_gos(text: str) -> bool:
    """Whether Go reads a time as RFC 3339: with capital letters only."""
    return parse_time(text) is not None and text == text.upper()


def parse_time(text: str) -> datetime | None:
    """Return the moment to the second, or None where `text` is no RFC 3339 time."""
    match = _FORMAT.match(text)
    if match is None:
        return None
    zone = "+00:00" if match[2] in "Zz" else match[2]
    try:
        return datetime.fromisoformat(match[1].upper() + zone)
    except ValueError:
        return None
