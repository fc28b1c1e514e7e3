"""A target with a bug that only coverage leads to, so that it is seen that bugs are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from layerstore.drivers.tar.names import clean

LONGEST = 64


def seeds() -> Iterator[bytes]:
    yield b"a"


def prepare(directory: Path) -> None:
    """Need nothing."""


def run(data: bytes) -> None:
    """Fail for names that begin at the root and have dots in them, which only one branch knows."""
    if data.startswith(b"/") and clean(data) not in (None, b"", data[1:]) and b".." in data:
        raise RuntimeError("the planted bug was found")
