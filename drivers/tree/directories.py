"""Opening directories of a tree that somebody else may be changing.

Owns the safety: a directory is opened beneath the root without following a symbolic link or leaving
the file system; and how what lies too deep for one path is reached. It looks at nothing in one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Self

from layerstore.drivers.system import syscalls

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_LONGEST = 4000
"""Bytes of a path that one call is given; the kernel takes 4095 (PATH_MAX)."""
_LONGEST_NAME = 255
_SURELY_SHORT = _LONGEST // 4
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
        if path == self._path:
            return self._fd
        if not path:
            self._leave()
            return self._fd
        above, _, name = path.rpartition(b"/")
        try:
            if above == self._path:
                found = syscalls.openat2(self._fd, name, _DIRECTORY, 0, _RESOLVE)
            else:
                found = self._open_long(path)
        except OSError as error:
            if error.errno in _GONE:
                return None
            error.filename = path
            raise
        self._leave()
        self._path, self._fd = path, found
        return found

    def _open_long(self, path: bytes) -> int:
        """Open a directory whose path may be longer than the kernel takes."""
        at, rest = self.top, path
        try:
            while len(rest) > _LONGEST:
                part, rest = _split(rest)
                below = syscalls.openat2(at, part, _DIRECTORY, 0, _RESOLVE)
                if at != self.top:
                    os.close(at)
                at = below
            return syscalls.openat2(at, rest, _DIRECTORY, 0, _RESOLVE)
        finally:
            if at != self.top:
                os.close(at)

    def _leave(self) -> None:
        if self._fd != self.top:
            os.close(self._fd)
        self._path, self._fd = b"", self.top

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self.top)


def reached(path: str) -> contextlib.AbstractContextManager[str]:
    """Give a path to the same file that is short enough for a call, valid in a `with` block.

    Directories on the way may be links: it is for trees that nobody changes. Raises OSError.
    """
    return contextlib.nullcontext(path) if len(path) < _SURELY_SHORT else _shortened(path)


@contextlib.contextmanager
def _shortened(path: str) -> Iterator[str]:
    raw = os.fsencode(path)
    with contextlib.ExitStack() as stack:
        while len(raw) > _LONGEST:
            part, rest = _split(raw)
            fd = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            raw = b"/proc/self/fd/%d/%b" % (fd, rest)
        yield os.fsdecode(raw)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """Split a path that is too long at the last slash before that."""
    cut = path.rfind(b"/", 1, _LONGEST)
    rest = path[cut + 1 :]
    if len(rest.partition(b"/")[0]) > _LONGEST_NAME:  # no progress would be made
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    return path[:cut], rest


def join(above: bytes, name: bytes) -> bytes:
    """Join a clean directory (empty for the root) and a name."""
    return above + b"/" + name if above else name
