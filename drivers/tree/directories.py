"""Opening directories of a tree that somebody else may be changing.

Owns the safety: a directory is opened beneath the root without following a symbolic link or leaving
the file system. It looks at nothing in one.
"""

from __future__ import annotations

import errno
import os
from typing import Self

from layerstore.drivers.system import syscalls

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})


class Directories:
    """Opens directories beneath a root, holding that and the last one."""

    def __init__(self, root: str) -> None:
        self.top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        """Descriptor of the root."""
        self._path = b""
        self._fd = self.top

    def open(self, path: bytes) -> int | None:
        """Give a descriptor, valid until another is opened; None where no such directory is left.

        `path` is relative to the root and clean, empty for the root itself.
        """
        if path != self._path:
            self._leave()
            if path:
                try:
                    self._fd = syscalls.openat2(self.top, path, _DIRECTORY, 0, _RESOLVE)
                except OSError as error:
                    if error.errno in _GONE:
                        return None
                    raise
                self._path = path
        return self._fd

    def _leave(self) -> None:
        if self._fd != self.top:
            os.close(self._fd)
        self._path, self._fd = b"", self.top

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self.top)
