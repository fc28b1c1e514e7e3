"""What a store may be opened with.

Owns what each option may be, so that a slip of the pen is told and not taken for the default.
"""

from __future__ import annotations

import math
import os
import socket
from typing import Any, Literal, get_args

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.wanted_confinement import Confine
from layerstore.drivers.userns.ranges import GRAMMAR, ranges_refused

Durability = Literal["durable", "relaxed"]
EngineKind = Literal["thread", "process"]
_WORDS = {
    "durability": get_args(Durability),
    "confine": get_args(Confine),
    "engine": get_args(EngineKind),
}
_LEAST = {"workers": 0, "max_streams": 1, "max_queued": 1, "trace_size": 0}


def check_options(**options: Any) -> None:
    """Raise InvalidArgument for what isn't of its kind, or out of its range."""
    for name, value in options.items():
        grammar = _refused(name, value)
        if grammar is not None:
            raise InvalidArgument(value if isinstance(value, str) else repr(value), grammar)


def _refused(name: str, value: Any) -> str | None:
    """Return what an option is to be, if the value isn't that."""
    if name == "root":
        path = os.fspath(value)
        return None if path and "\0" not in os.fsdecode(path) else "a root is a directory's path"
    if name in _WORDS:
        return None if value in _WORDS[name] else f"{name} is {' or '.join(_WORDS[name])}"
    if name == "limits":
        return None if value is None or isinstance(value, Limits) else "limits are a Limits"
    if name in ("stall_after", "timeout"):
        good = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        return None if good else f"{name} is a number of seconds, 0 or more"
    if name == "listen":
        good = isinstance(value, bool | socket.socket) or value == "required"
        return None if good else "listen is True, False, 'required' or a socket"
    if value is None and name in ("workers", "id_ranges"):
        return None
    if name == "id_ranges":
        return ranges_refused(value) if isinstance(value, str) else GRAMMAR
    least = _LEAST[name]
    good = isinstance(value, int) and value >= least
    return None if good else f"{name} is a whole number, {least} or more"
