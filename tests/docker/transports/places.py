"""What lies at a place, for comparison, and ways to put something else there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path


def contents(place: Path) -> dict[str, tuple[int, bytes]]:
    """Return every path beneath a place with its mode, and its content or where it links to."""
    found = {}
    for path in sorted(place.rglob("*")):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISREG(mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        found[str(path.relative_to(place))] = (mode, content)
    return found


def swapped_for(path: Path, make: Callable[[Path], object]) -> None:
    """Put what a function makes in the place of a file."""
    path.unlink()
    make(path)


def linked_out(path: Path, outside: Path) -> None:
    """Put a symbolic link in the place of what is as good as before, but elsewhere."""
    outside.mkdir()
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)
