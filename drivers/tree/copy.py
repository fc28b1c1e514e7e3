"""Copying a directory tree exactly: content, links, owners, modes, times, xattrs, holes.

Owns nothing. Everything is opened beneath directory descriptors and no symbolic link is followed,
so a tree that someone changes meanwhile can't lead the copy elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from layerstore.drivers.errors import DriverError
from layerstore.drivers.tree.holes import pieces_of

_FICLONE = 0x40049409
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}
_NO_XATTR = {errno.EOPNOTSUPP, errno.ENOTSUP}
_MAX_COPY = 1 << 30


def copy_tree(source: str, target: str) -> None:
    """Copy what lies in the directory `source` into the empty directory `target`, and its metadata.

    However deep the tree, two of its directories are open at a time, and two of the copy's.
    Raises DriverError naming the path; what was copied until then stays.
    """
    run_between(_Copy(), source, target)


class Copying(Protocol):
    """A copy under way."""

    path: str
    """Where it is, from the directory that it began with."""

    def run(self, source: int, target: int, /) -> None:
        """Copy from an open directory into another. Raises OSError."""


def run_between(copy: Copying, source: str, target: str) -> None:
    """Run a copy between two directories; raises DriverError naming where it was."""
    try:
        with contextlib.ExitStack() as stack:
            from_fd = os.open(source, _DIRECTORY)
            stack.callback(os.close, from_fd)
            to_fd = os.open(target, _DIRECTORY)
            stack.callback(os.close, to_fd)
            copy.run(from_fd, to_fd)
    except OSError as error:
        path = f"{source}/{copy.path}" if copy.path else source
        raise DriverError.from_os_error("copy", path, error) from error


class _Level(Struct):
    """A directory that is being copied: what of it is left to do, and which two it is."""

    source: os.stat_result
    target: os.stat_result
    names: list[str]


class _Copy:
    """One copy under way: where it is, and the first name of every inode with several."""

    def __init__(self) -> None:
        self.path = ""
        self._contents = Contents()
        self._links: dict[tuple[int, int], str] = {}
        self._levels: list[_Level] = []
        self._way: list[str] = []
        self._root = self._source = self._target = -1

    def run(self, source: int, target: int) -> None:
        """Copy what is in one directory into another; both descriptors stay the caller's."""
        self._root = target
        self._source, self._target = os.dup(source), os.dup(target)
        try:
            self._begin()
            while self._levels:
                if names := self._levels[-1].names:
                    self._entry(names.pop())
                else:
                    self._finish()
        finally:
            os.close(self._source)
            os.close(self._target)

    def _begin(self) -> None:
        """Begin with the directory that both descriptors have come to."""
        with os.scandir(self._source) as entries:
            names = [entry.name for entry in entries]
        self._levels.append(_Level(os.fstat(self._source), os.fstat(self._target), names))

    def _finish(self) -> None:
        """Finish a directory and go back to the one above it."""
        done = self._levels.pop()
        self.path = "/".join(self._way)
        copy_metadata(self._source, self._target, done.source)
        if self._levels:
            self._way.pop()
            above = self._levels[-1]
            self._source = _go(self._source, "..", above.source)
            self._target = _go(self._target, "..", above.target)

    def _entry(self, name: str) -> None:
        self.path = path = "/".join((*self._way, name))
        source, target = self._source, self._target
        status = os.lstat(name, dir_fd=source)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            self._source = _go(source, name, status)
            self._target = _go(target, name)
            self._way.append(name)
            self._begin()
            return
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                os.link(
                    first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False
                )
                return
        if stat.S_ISREG(status.st_mode):
            self._regular(source, target, name)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            copy_link_metadata(source, target, name, status)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            copy_link_metadata(source, target, name, status)

    def _regular(self, source: int, target: int, name: str) -> None:
        from_fd = os.open(name, _FILE, dir_fd=source)
        try:
            status = os.fstat(from_fd)
            to_fd = os.open(name, _NEW_FILE, 0o600, dir_fd=target)
            try:
                self._contents.copy(from_fd, to_fd, status.st_size)
                copy_metadata(from_fd, to_fd, status)
            finally:
                os.close(to_fd)
        finally:
            os.close(from_fd)


def _go(fd: int, name: str, expected: os.stat_result | None = None) -> int:
    """Go from a directory, which is closed, to another; OSError where that isn't the expected."""
    found = os.open(name, _DIRECTORY, dir_fd=fd)
    status = os.fstat(found)
    if expected is not None and not os.path.samestat(status, expected):
        os.close(found)
        raise OSError(errno.ESTALE, "the tree was changed while it was copied")
    os.close(fd)
    return found


class Contents:
    """Copies what files hold, of one file system to one.

    Where that can, as btrfs and xfs, a copy shares what it holds until one of both is written to:
    FICLONE of ioctl_ficlonerange(2). One that says it can't isn't asked again.
    """

    def __init__(self) -> None:
        self._may_share = True

    def copy(self, source: int, target: int, size: int) -> None:
        """Copy a file's content into an empty file, both open; holes stay holes. Raises OSError."""
        if not size or (self._may_share and self._shared(source, target)):
            return
        for start, length in pieces_of(source, size):
            _range(source, target, start, start + length)
        os.ftruncate(target, size)

    def _shared(self, source: int, target: int) -> bool:
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            self._may_share = error.errno == errno.EINVAL  # that is about these files alone
            return False
        return True


def copy_content(source: int, target: int, size: int) -> None:
    """Do as Contents with one file."""
    Contents().copy(source, target, size)


def _range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = _piece(source, target, start, min(end - start, _MAX_COPY))
        if not count:
            break  # the file has become shorter
        start += count


def _piece(source: int, target: int, start: int, count: int) -> int:
    """Copy bytes at the same place of two files; returns how many that were."""
    try:
        return os.copy_file_range(source, target, count, start, start)
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
    os.lseek(target, start, os.SEEK_SET)
    return os.sendfile(target, source, start, count)  # between kinds of file systems


def copy_metadata(source: int, target: int, status: os.stat_result) -> None:
    """Give an open file another's owner, mode, extended attributes and times. Raises OSError."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    with _without_xattrs():
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def copy_link_metadata(source: int, target: int, name: str, status: os.stat_result) -> None:
    """Copy the metadata of what can't be opened, through names beneath the descriptors."""
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    old, new = f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{name}"
    with _without_xattrs():
        for attribute in os.listxattr(old, follow_symlinks=False):
            value = os.getxattr(old, attribute, follow_symlinks=False)
            os.setxattr(new, attribute, value, follow_symlinks=False)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


@contextlib.contextmanager
def _without_xattrs() -> Iterator[None]:
    """Let a file system that keeps no extended attributes be."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
