"""Directories beneath a layer's root, opened and kept open; and removing what is in the way.

Owns the way from a path to a descriptor: nothing outside the root is ever reached. A symbolic link
on the way is followed as a process whose root directory this is would follow it (openat2(2),
RESOLVE_IN_ROOT); the last name of a path is never followed. It knows nothing of tar.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, Self

from layerstore.drivers.system import syscalls
from layerstore.drivers.tar.names import ancestors, split

if TYPE_CHECKING:
    from types import TracebackType

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PLAIN = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_STEP = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_THROUGH_LINKS = (
    syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_XDEV
)
_OPEN_DIRECTORIES = 128
_NOT_PLAIN = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG})


class Losing(Protocol):
    """Called before a file that is no directory is removed."""

    def __call__(
        self, directory: int, name: bytes, status: os.stat_result, *, within: bool
    ) -> None:
        """`within` says that it goes because a directory above it goes."""


class Made(Protocol):
    """Called with each directory that nobody asked for by itself, once it is there."""

    def __call__(self, path: bytes, *, in_last: bool) -> None:
        """`in_last` says that it is in the directory of the last call, nothing done between."""


class Place:
    """The directories of one tree. Paths are clean (`tar/names`), relative; empty is the root."""

    def __init__(self, root: str, losing: Losing, made: Made) -> None:
        """Open a root."""
        self.root = os.open(root, _DIRECTORY)
        self.aliased = False
        """Whether any path was reached by way of a symbolic link."""
        self.times: dict[bytes, tuple[int, int]] = {}
        """Access and modification time of each directory when it was first opened, ns."""
        self._losing = losing
        self._made = made
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def directory(self, path: bytes) -> int:
        """Open a directory, whose descriptor is valid until the next call. Raises OSError."""
        if not path:
            return self.root
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        above, name = split(path)
        at = self._open.get(above)
        if at is not None:
            return self._step(at, name, path)
        return self._opened(path, self._open_directory(path))

    def _opened(self, path: bytes, fd: int) -> int:
        if path not in self.times:
            status = os.fstat(fd)
            self.times[path] = (status.st_atime_ns, status.st_mtime_ns)
        self.keep(path, fd)
        return fd

    def is_plain(self, path: bytes) -> bool:
        """Whether a path, and each above it, is a directory; no link is followed."""
        try:
            os.close(syscalls.openat2(self.root, path or b".", _DIRECTORY, 0, _PLAIN))
        except OSError as error:
            if error.errno not in _NOT_PLAIN:
                raise
            return False
        return True

    def ensure_directory(self, path: bytes) -> int:
        """Open a directory, making it and its parents (mode 0755) where they don't exist."""
        with contextlib.suppress(FileNotFoundError):
            return self.directory(path)
        fd = self.root
        last_is_new = False
        for above in ancestors(path):
            try:
                fd = self._step(fd, split(above)[1], above)
                last_is_new = False
            except FileNotFoundError:
                self._make_directory(fd, split(above)[1])
                self._made(above, in_last=last_is_new)
                last_is_new = True
                fd = self._step(self.directory(split(above)[0]), split(above)[1], above)
        return fd

    def _step(self, directory: int, name: bytes, path: bytes) -> int:
        """Open a directory from the one that it is in, as its whole path may take long to follow.

        Links can make that so long that a layer of them would keep a worker busy for days.
        """
        if path in self._open:
            return self.directory(path)
        try:
            fd = syscalls.openat2(directory, name, _DIRECTORY, 0, _STEP)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            fd = self._open_directory(path)
        return self._opened(path, fd)

    def keep(self, path: bytes, fd: int) -> None:
        """Take over the descriptor of a directory that will probably be asked for soon."""
        old = self._open.pop(path, None)
        if old is not None:
            os.close(old)
        self._open[path] = fd
        if len(self._open) > _OPEN_DIRECTORIES:
            os.close(self._open.popitem(last=False)[1])

    def status(self, directory: int, name: bytes) -> os.stat_result | None:
        """Look at a name without following it; None where there is nothing."""
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def remove(self, directory: int, name: bytes, status: os.stat_result) -> None:
        """Remove whatever a name is, with all that is in it.

        `directory` may be invalid afterwards where a directory or symbolic link was removed.
        """
        if stat.S_ISDIR(status.st_mode):
            directory = os.dup(directory)
            try:
                self.forget()
                self._empty(directory, name)
                os.rmdir(name, dir_fd=directory)
            finally:
                os.close(directory)
            return
        self._losing(directory, name, status, within=False)
        os.unlink(name, dir_fd=directory)
        if stat.S_ISLNK(status.st_mode):
            self.forget()

    def replace_by_directory(self, path: bytes) -> None:
        """Make a directory in the place of what is no directory."""
        above, name = split(path)
        directory = self.directory(above)
        os.unlink(name, dir_fd=directory)
        self._make_directory(directory, name)

    def forget(self) -> None:
        """Close all directories but the root, since paths may mean others now."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _open_directory(self, path: bytes) -> int:
        try:
            return syscalls.openat2(self.root, path, _DIRECTORY, 0, _PLAIN)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        fd = syscalls.openat2(self.root, path, _DIRECTORY, 0, _THROUGH_LINKS)
        self.aliased = True
        return fd

    def _make_directory(self, parent: int, name: bytes) -> None:
        os.mkdir(name, 0o755, dir_fd=parent)
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.fchown(fd, os.geteuid(), os.getegid())
            os.fchmod(fd, 0o755)
        finally:
            os.close(fd)

    def _empty(self, directory: int, name: bytes) -> None:
        """Remove what is in a directory; depth is bounded by the length of paths in a tar."""
        pending = [name]
        while pending:
            path = pending[-1]
            fd = syscalls.openat2(directory, path, _DIRECTORY | os.O_NOFOLLOW, 0, _PLAIN)
            try:
                below = self._unlink_files(fd)
            finally:
                os.close(fd)
            if below:
                pending.extend(path + b"/" + child for child in below)
                continue
            pending.pop()
            if pending:
                os.rmdir(path, dir_fd=directory)

    def _unlink_files(self, fd: int) -> list[bytes]:
        directories = []
        with os.scandir(fd) as entries:
            names = [os.fsencode(entry.name) for entry in entries]
        for name in names:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                directories.append(name)
            else:
                self._losing(fd, name, status, within=True)
                os.unlink(name, dir_fd=fd)
        return directories

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.forget()
        os.close(self.root)
