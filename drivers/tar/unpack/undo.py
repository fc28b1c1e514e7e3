"""Removing what a tar has made in a tree that is in use, where it can't be unpacked whole.

Owns the list of what was made where nothing was before. What the tar has replaced, or changed of a
directory, isn't brought back.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from typing import TYPE_CHECKING, Self

from layerstore.drivers.system.printable import escaped
from layerstore.drivers.tar.names import split
from layerstore.drivers.tar.unpack.place import Place

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger("layerstore")
_KEPT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.ELOOP, errno.EXDEV})
"""What is gone meanwhile, or holds what isn't the tar's."""


class Undo:
    """What was made, by path and inode, since a path may lead elsewhere in the end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        status = os.fstat(place.root)
        self._root_times = (status.st_atime_ns, status.st_mtime_ns)
        self._made: dict[bytes, int] = {}
        self._half: tuple[bytes, int] | None = None

    def made(self, path: bytes) -> None:
        """Take note that something was made at a path where nothing was."""
        status = self._look(path)
        if status is not None:
            self._made[path] = status.st_ino

    def replaced(self, path: bytes) -> None:
        """Take note that something was made in the place of something else."""
        if path in self._made:
            self.made(path)

    def begun(self, path: bytes, inode: int) -> None:
        """Take note of a file whose content isn't complete yet; nobody wants a part of it."""
        self._half = (path, inode)

    def done(self) -> None:
        """Take note that it is complete."""
        self._half = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo all where the block has failed, and say what of that failed."""
        if error is None:
            return
        try:
            self._undo()
        except OSError as trouble:
            what = "after %s not all that was unpacked could be removed: %s"
            _log.warning(what, escaped(str(error)), escaped(str(trouble)))

    def _undo(self) -> None:
        """Remove what was made, the last first, and give directories their times. Raises OSError.

        What can't be removed stays, and the first error is raised in the end.
        """
        first: OSError | None = None
        if self._half is not None:
            self._made[self._half[0]] = self._half[1]
        for path, inode in reversed(self._made.items()):
            try:
                self._remove(path, inode)
            except OSError as error:
                if error.errno not in _KEPT:
                    first = first or error
        for path, times in list(self._place.times.items()):
            status = self._look(path)
            if status is not None and stat.S_ISDIR(status.st_mode):
                os.utime(self._place.directory(path), ns=times)
        os.utime(self._place.root, ns=self._root_times)
        if first is not None:
            raise first

    def _look(self, path: bytes) -> os.stat_result | None:
        above, name = split(path)
        try:
            return self._place.status(self._place.directory(above), name)
        except OSError as error:
            if error.errno in _KEPT:
                return None
            raise

    def _remove(self, path: bytes, inode: int) -> None:
        status = self._look(path)
        if status is None or status.st_ino != inode:
            return
        above, name = split(path)
        if stat.S_ISDIR(status.st_mode):
            self._place.forget()  # its descriptor would say that it is still there
            os.rmdir(name, dir_fd=self._place.directory(above))
        else:
            os.unlink(name, dir_fd=self._place.directory(above))
