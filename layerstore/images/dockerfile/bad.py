"""What all of this room raises, and what counts as white space in it."""

from __future__ import annotations

import re

SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""As a class of a regular expression. Go's unicode.IsSpace; Python's isspace has four more."""

BYTE_ORDER_MARK = "\ufeff"

_AROUND = re.compile(rf"\A[{SPACES}]+|[{SPACES}]+\Z")


class BadInstruction(Exception):
    """An instruction that docker refuses; whoever has its text says so in an error of the store."""


def trimmed(text: str) -> str:
    """Return a text without the white space around it. Go: strings.TrimSpace."""
    return _AROUND.sub("", text)
