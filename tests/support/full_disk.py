"""Filling a file system."""

from __future__ import annotations

import contextlib
from pathlib import Path


def fill(path: Path) -> None:
    """Write a file until nothing fits any more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)
