"""Where an answer says that there is more, as RFC 8288 writes it.

Owns the grammar of Link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_HEADER = 8192
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]*))?)*)')
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"\s*next\s*"|next)\s*(?:;|\Z)', re.IGNORECASE)


def next_link(headers: Iterable[str]) -> str | None:
    """Return what the Link headers say is next, as it is written there; None if that is all."""
    for header in headers:
        for target, parameters in _LINK.findall(header[:_MAX_HEADER]):
            if _NEXT.search(parameters):
                return str(target)
    return None
