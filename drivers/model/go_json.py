"""JSON as Go reads it into a struct: a key counts in any case, and of several the last one.

What docker and containerd take is written by tools in other languages, some in lower case. Owns
that rule only; what isn't JSON, or doesn't fit, is told by others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec


def folded(document: Any, kind: Any) -> Any:
    """Return a decoded document with its keys as msgspec's struct `kind` spells them, all down."""
    if isinstance(document, list):
        (item,) = get_args(_of(kind, list)) or (Any,)
        return [folded(one, item) for one in document]
    struct = _of(kind, msgspec.Struct)
    if not isinstance(document, dict) or struct is None:
        return document
    known = _fields(struct)
    found: dict[str, Any] = {}
    for key, value in document.items():
        field = known.get(key.lower())
        if field is None:
            found[key] = value
        else:
            found[field.encode_name] = folded(value, field.type)
    return found


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.encode_name.lower(): field for field in msgspec.structs.fields(struct)}


@functools.cache
def _of(kind: Any, wanted: type) -> Any:
    """Return what of a type, or of a union's types, is a struct or a list; None if nothing is."""
    for one in (kind, *get_args(kind)) if get_origin(kind) is not list else (kind,):
        origin = get_origin(one) or one
        if isinstance(origin, type) and issubclass(origin, wanted):
            return one
    return None
