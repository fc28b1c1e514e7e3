"""Times as images and records write them: RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FORMAT = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")


def now() -> str:
    """Return this moment in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


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
