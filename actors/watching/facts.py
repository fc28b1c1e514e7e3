"""What a trace takes down of requests and their answers, so that they can be replayed.

Owns how a value becomes plain data of a bounded size. Which fields are taken down each message says
itself: names, IDs and reference numbers, never contents (no tar, no descriptor's JSON, no image
configuration).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

_MAX_TEXT = 1000
_MAX_ITEMS = 1000

NOTHING: Mapping[str, Any] = {}


@runtime_checkable
class Recorded(Protocol):
    """A request, or what an answer brings, that a journal takes something down of."""

    def for_journal(self) -> Mapping[str, Any]:
        """Return what a replay needs of it, as plain data."""


def facts_of(value: object) -> Mapping[str, Any]:
    """Return what a replay needs of a request or of an answer; nothing of what isn't recorded."""
    return (value.for_journal() or NOTHING) if isinstance(value, Recorded) else NOTHING


def plain(value: Any) -> Any:
    """Return the value as plain data, texts and collections cut to a bounded size."""
    if isinstance(value, str):
        return str(value)[:_MAX_TEXT]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_MAX_ITEMS]
        return {str(key)[:_MAX_TEXT]: plain(item) for key, item in pairs}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value[:_MAX_ITEMS]]
    return repr(value)[:_MAX_TEXT]
