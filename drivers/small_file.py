"""Reading a small file that somebody else may have put there.

Owns the safety: the last component is never followed as a symbolic link, only regular files are
read, and never more than asked for.
"""

from __future__ import annotations

import errno
import os
import stat

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_small(path: str, limit: int, *, directory: int | None = None) -> bytes:
    """Return a file's first bytes, at most `limit`.

    `directory` is a descriptor that `path` is relative to. Raises OSError, with EINVAL for what is
    no regular file.
    """
    fd = os.open(path, _FLAGS, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        content = b""
        while len(content) < limit and (piece := os.read(fd, limit - len(content))):
            content += piece
        return content
    finally:
        os.close(fd)
