"""HEALTHCHECK: what it says, as the configuration has it, with its times in nanoseconds.

Source: the Dockerfile reference, "HEALTHCHECK"; Go: time.ParseDuration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from layerstore.images.dockerfile.bad import BadInstruction
from layerstore.images.dockerfile.lines import values_of
from layerstore.images.dockerfile.syntax import Arguments

_TIMES = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")
_RETRIES = re.compile(r"[+-]?[0-9]{1,10}\Z")
_SHORTEST = 10**6
_MOST = (1 << 63) - 1
_MOST_RETRIES = (1 << 31) - 1


def health_of(flags: Sequence[str], arguments: Arguments) -> dict[str, Any]:
    """Return the Healthcheck of a configuration. Raises BadInstruction."""
    if not arguments.words:
        raise BadInstruction("NONE or CMD follows the instruction")
    kind, command = arguments.words[0].upper(), arguments.words[1:]
    if kind == "NONE":
        if command:
            raise BadInstruction("nothing follows NONE")
        return {"Test": ["NONE"]}
    given = values_of(flags, [*_TIMES, "retries"])
    if kind != "CMD":
        raise BadInstruction(f"{kind!r} is neither NONE nor CMD")
    if not command:
        raise BadInstruction("a command follows CMD")
    health: dict[str, Any] = {"Test": ["CMD" if arguments.as_json else "CMD-SHELL", *command]}
    for flag, key in _TIMES.items():
        if given.get(flag):
            health[key] = _at_least_shortest(given[flag], flag)
    if given.get("retries"):
        health["Retries"] = _retries(given["retries"])
    return health


def _at_least_shortest(text: str, flag: str) -> int:
    found = _nanoseconds(text)
    if found < _SHORTEST:
        raise BadInstruction(f"--{flag} is at least 1ms")
    return found


def _nanoseconds(text: str) -> int:
    """Read a length of time such as `1m30s`."""
    bad = BadInstruction(f"{text!r} is no length of time, such as 1m30s or 500ms")
    rest = text[1:] if text[:1] in ("+", "-") else text
    total, end = 0, 0
    while end < len(rest):
        part = _PART.match(rest, end)
        if part is None or not (part[1] or part[2]) or part[3] not in _UNITS:
            raise bad
        unit = _UNITS[part[3]]
        total += int(part[1] or "0") * unit + _fraction(part[2] or "", unit)
        if total > _MOST:
            raise bad
        end = part.end()
    if not rest:
        raise bad
    return -total if text.startswith("-") else total


def _fraction(digits: str, unit: int) -> int:
    """Return a part of a unit as Go counts it: by a float, of the first eighteen digits."""
    digits = digits[:18]
    return int(float(int(digits or "0")) * (float(unit) / 10.0 ** len(digits)))


def _retries(text: str) -> int:
    if not _RETRIES.match(text) or not 1 <= int(text) <= _MOST_RETRIES:
        raise BadInstruction(f"--retries is a whole number, at least 1, not {text!r}")
    return int(text)
