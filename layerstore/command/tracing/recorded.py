"""What a record tells of a request, taken only in the shape that a request has.

Owns what is said where it has another.
"""

from __future__ import annotations

from typing import Any

import msgspec

from layerstore.actors.watching.trace import TraceRecord
from layerstore.drivers.errors import InvalidName
from layerstore.drivers.model.ids import diff_id


class Unplayable(Exception):
    """A request that can't be replayed; says why."""


def is_digest(text: object) -> bool:
    """Whether it is one; the request that has another is refused when its turn comes."""
    try:
        diff_id(str(text))
    except InvalidName:
        return False
    return True


def fact(record: TraceRecord, name: str, kind: Any) -> Any:
    """Return a field of a type. Raises Unplayable."""
    try:
        return msgspec.convert(record.facts.get(name), kind)
    except msgspec.ValidationError as error:
        raise Unplayable(f"its {name} isn't recorded") from error


def listed(record: TraceRecord, name: str) -> list[Any]:
    """Return a list, empty where there is none."""
    value = record.facts.get(name)
    return value if isinstance(value, list) else []


def reference_of(record: TraceRecord) -> int:
    """Return the number that something is held by. Raises Unplayable."""
    return int(fact(record, "reference", int))


def name_of(record: TraceRecord) -> str:
    """Return the name that it is about. Raises Unplayable."""
    return str(fact(record, "name", str))
