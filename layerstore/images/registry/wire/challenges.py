"""What a registry wants to see before it answers: challenges, as RFC 7235 writes them.

Owns their grammar only. What is no challenge is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_MAX_HEADER = 8192
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'[\s,]*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))\s*(?=,|\Z)')
_SCHEME = re.compile(rf"[\s,]*({_WORD})(?:\s+(?![\s=])|\s*(?=,)|\s*\Z)")
_ALONE = re.compile(r"[A-Za-z0-9._~+/-]+=*\s*(?=,|\Z)")


class Challenge(Struct, frozen=True):
    """A way to say who one is, by its name in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str] = {}


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all WWW-Authenticate headers, in their order."""
    return [found for header in headers for found in _parsed(header[:_MAX_HEADER])]


def _parsed(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while scheme := _SCHEME.match(text, at):
        at = scheme.end()
        if alone := _ALONE.match(text, at):
            at = alone.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
        found.append(Challenge(scheme[1].lower(), parameters))
    return found
