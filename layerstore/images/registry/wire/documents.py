"""What registries say in JSON.

Owns how much trust that is given: none.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

_T = TypeVar("_T")


class NotAsExpected(Exception):
    """It is no JSON, or not of the form that is expected."""


def parsed(content: bytes, form: type[_T]) -> _T:
    """Return a document's content; raises NotAsExpected, which tells nothing of it."""
    try:
        return msgspec.json.decode(content, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAsExpected from None
