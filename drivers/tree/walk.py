"""Going through a directory tree that somebody else may be changing.

Owns the order: a directory before what is in it, names sorted as bytes. It changes nothing, follows
no symbolic link and doesn't leave the file system (see `directories`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from msgspec import Struct

from layerstore.drivers.tree.directories import Directories, join


class Entry(Struct):
    """One name in a tree; `directory` is a descriptor that is valid until the next entry."""

    path: bytes
    """Relative to the root, clean."""
    directory: int
    name: bytes
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory itself."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def place(self) -> bytes:
        """A path for calls that take no descriptor; its last name must not be followed."""
        return b"/proc/self/fd/%d/%b" % (self.directory, self.name)


def walk(root: str) -> Iterator[Entry]:
    """Give everything beneath `root`, the root itself not. Raises OSError.

    What vanishes meanwhile is left out. Two directories are open at most, however deep the tree.
    """
    with Directories(root) as directories:
        waiting = [(b"", _names(directories.top))]
        while waiting:
            path, names = waiting[-1]
            directory = directories.open(path) if names else None
            if directory is None:
                waiting.pop()
                continue
            entry = _look(path, directory, names.pop())
            if entry is None:
                continue
            yield entry
            if entry.is_directory:
                below = directories.open(entry.path)
                if below is not None:
                    waiting.append((entry.path, _names(below)))


def _names(directory: int) -> list[bytes]:
    """Name what is in a directory, the first one last."""
    return sorted((os.fsencode(name) for name in os.listdir(directory)), reverse=True)


def _look(path: bytes, directory: int, name: bytes) -> Entry | None:
    """Look at a name of a directory; None where it is gone."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Entry(join(path, name), directory, name, status)
