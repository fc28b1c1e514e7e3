"""The size of a directory tree as Docker accounts it.

Owns the rule only: the sizes of all files that are no directories, each inode once. It changes
nothing and follows no symbolic link.
Source: moby's directory.Size.
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.tree.directories import Directories, join


def tree_size(root: str) -> int:
    """Return a tree's size in bytes. What vanishes meanwhile is not counted. Raises OSError."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [b""]
    with Directories(root) as directories:
        while pending:
            path = pending.pop()
            directory = directories.open(path)
            if directory is None:
                continue
            for name in os.listdir(directory):
                try:
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    pending.append(join(path, os.fsencode(name)))
                elif status.st_nlink == 1:
                    total += status.st_size
                elif (inode := (status.st_dev, status.st_ino)) not in seen:
                    seen.add(inode)
                    total += status.st_size
    return total
