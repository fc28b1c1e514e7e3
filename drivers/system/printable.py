"""Names from the disk as text for people: what a terminal would act on is escaped."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Return the text with every character that isn't printable escaped as in Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
