"""Deleting trees that nothing names, however deep they are.

Owns that no link is followed and that a tree deeper than descriptors allow is deleted all the same.
"""

from __future__ import annotations

import contextlib
import os
import stat

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH = 64


def delete_tree(path: str) -> None:
    """Delete a directory that nothing names and nothing is mounted in. Raises OSError."""
    top = os.open(path, DIRECTORY)
    try:
        for name in os.listdir(top):
            delete_entry(top, name)
    finally:
        os.close(top)
    os.rmdir(path)


def delete_entry(top: int, name: str) -> None:
    """Delete what is in a directory by some name, however deep a tree it is."""
    waiting = [name]
    while waiting:
        _delete_in(top, waiting.pop(), _DEPTH, top, waiting)


def _delete_in(at: int, name: str, depth: int, top: int, waiting: list[str]) -> None:
    """Delete a name; directories that lie deeper than `depth` are moved up and added to `waiting`.

    What is gone already, another sweep has deleted.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=at)
            return
        if not depth:
            moved = os.urandom(16).hex()
            os.rename(name, moved, src_dir_fd=at, dst_dir_fd=top)
            waiting.append(moved)
            return
        fd = os.open(name, DIRECTORY, dir_fd=at)
        try:
            for child in os.listdir(fd):
                _delete_in(fd, child, depth - 1, top, waiting)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=at)
