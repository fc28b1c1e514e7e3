"""The size of a directory tree as Docker accounts it.

Owns the rule only: the sizes of all files that are no directories, each inode once. It changes
nothing and follows no symbolic link.
Source: moby's directory.Size.
"""

from __future__ import annotations

import os
import stat


def tree_size(root: str) -> int:
    """Return a tree's size in bytes. What vanishes meanwhile is not counted. Raises OSError."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [root]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(entry.path)
                    elif status.st_nlink == 1:
                        total += status.st_size
                    elif (inode := (status.st_dev, status.st_ino)) not in seen:
                        seen.add(inode)
                        total += status.st_size
        except FileNotFoundError:
            continue
    return total
