"""Going through a directory tree that somebody else may be changing.

Owns the order (a directory before what is in it, names sorted as bytes) and the safety: every
directory is opened beneath the root without following a symbolic link or leaving the file system.
It changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from layerstore.drivers.system import syscalls

if TYPE_CHECKING:
    from types import TracebackType

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})


@dataclass(slots=True)
class Entry:
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
    with _Walker(root) as walker:
        waiting = [(b"", walker.names())]
        while waiting:
            path, names = waiting[-1]
            if not names or not walker.go(path):
                waiting.pop()
                continue
            entry = walker.look(names.pop())
            if entry is None:
                continue
            yield entry
            if entry.is_directory and walker.go(entry.path):
                waiting.append((entry.path, walker.names()))


class _Walker:
    """Stands in one directory of the tree at a time."""

    def __init__(self, root: str) -> None:
        self._top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = b""
        self._fd = self._top

    def go(self, path: bytes) -> bool:
        """Stand in a directory; whether it is still there."""
        if path == self._path:
            return True
        self._leave()
        if path:
            try:
                self._fd = syscalls.openat2(self._top, path, _DIRECTORY, 0, _RESOLVE)
            except OSError as error:
                if error.errno in _GONE:
                    return False
                raise
            self._path = path
        return True

    def names(self) -> list[bytes]:
        """Name what is in the directory, the first one last."""
        return sorted((os.fsencode(name) for name in os.listdir(self._fd)), reverse=True)

    def look(self, name: bytes) -> Entry | None:
        """Look at a name of the directory; None where it is gone."""
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        path = self._path + b"/" + name if self._path else name
        return Entry(path, self._fd, name, status)

    def _leave(self) -> None:
        if self._fd != self._top:
            os.close(self._fd)
        self._path, self._fd = b"", self._top

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        os.close(self._top)
