"""Copying a directory tree that others are writing to, as it stands.

Owns what becomes of a name that goes, or becomes something else, while it is being copied. Nothing
of that fails a copy: each name is copied as what it was at some moment, or left out. A file that is
written to meanwhile is copied again a few times, for a moment in which it was left alone; one that
never is holds what was read of it. What is quiet is copied exactly, as by `copy`.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from msgspec import Struct

from layerstore.drivers.tree.copy import (
    copy_content,
    copy_link_metadata,
    copy_metadata,
    run_between,
)
from layerstore.drivers.tree.delete import delete_entry

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SAID_OF_CHANGES = {
    errno.ENOENT,  # it is gone
    errno.ENOTDIR,  # it was a directory
    errno.EISDIR,
    errno.ELOOP,  # it is a symbolic link
    errno.EINVAL,  # it was one
    errno.ENXIO,  # it is a socket, or has become shorter
    errno.ENODEV,
    errno.EPERM,  # it had other attributes than its new kind may have
    errno.EACCES,  # it is a device where none may be opened
    errno.ENODATA,  # an extended attribute is gone
    errno.ERANGE,
    errno.ESTALE,
}
"""What the kernel may say of a name that isn't what it was a moment ago."""
_TICK = 20_000_000
"""Nanoseconds in which several changes may have one time."""
_LOOKS = 50
_LOOKS_IN_DOUBT = 3
"""How often a directory is listed that others change, or may have changed."""
_TRIES = 10
"""How often something is tried that somebody changes meanwhile."""


class _Changed(Exception):
    """What a name stood for is something else by now."""


class _Level(Struct):
    """A directory that is being copied: what of it is left to do, and which two it is."""

    source: os.stat_result
    target: os.stat_result
    names: list[str]
    name: str
    looks: int = 1
    """How often it was listed."""


class _First(Struct):
    """The first name that an inode with several was copied by, and what it was then."""

    path: str
    state: tuple[int, ...]


def copy_live_tree(source: str, target: str) -> None:
    """Copy what lies in the directory `source` into the empty directory `target`, as it stands.

    Hard links among what is copied stay such, and holes stay holes. However deep the tree, three of
    its directories are open at a time, and three of the copy's. Raises DriverError naming the path
    for what isn't others' doing in the source; what was copied until then stays.
    """
    run_between(_Copy(), source, target)


class _Copy:
    """One copy under way: where it is, and the first name of every inode with several."""

    def __init__(self) -> None:
        self.path = ""
        self._firsts: dict[tuple[int, int], _First] = {}
        self._levels: list[_Level] = []
        self._old_root = self._new_root = self._source = self._target = -1

    def run(self, source: int, target: int) -> None:
        """Copy what is in one directory into another; both descriptors stay the caller's."""
        self._old_root, self._new_root = source, target
        self._source, self._target = os.dup(source), os.dup(target)
        try:
            self._begin("")
            while self._levels:
                if names := self._levels[-1].names:
                    self._entry(names.pop())
                else:
                    self._finish()
        finally:
            os.close(self._source)
            os.close(self._target)

    # Directories

    def _begin(self, name: str) -> None:
        """Begin with the directory that both descriptors have come to."""
        status = os.fstat(self._source)
        self._levels.append(_Level(status, os.fstat(self._target), _names(self._source), name))

    def _has_more(self) -> bool:
        """Look again whether a directory that was changed has names that weren't listed before.

        A listing need not have what takes another's name meanwhile.
        """
        level = self._levels[-1]
        while level.looks < _LOOKS:
            now = os.fstat(self._source)
            if now.st_mtime_ns == level.source.st_mtime_ns:
                perhaps = level.looks < _LOOKS_IN_DOUBT
                if not perhaps or time.time_ns() - now.st_mtime_ns > _TICK:
                    return False
            level.source = now
            level.looks += 1
            copied = set(_names(self._target))
            level.names = [name for name in _names(self._source) if name not in copied]
            if level.names:
                return True
        return False

    def _finish(self) -> None:
        """Finish a directory and go back to the one above it."""
        if self._has_more():
            return
        done = self._levels.pop()
        self.path = "/".join([level.name for level in self._levels[1:]] + [done.name])
        _metadata(self._source, self._target, done.source)
        if not self._levels:
            return
        above = self._levels[-1]
        self._target = _go(self._target, "..", above.target)
        try:
            self._source = _go(self._source, "..", above.source)
        except OSError as error:  # somebody has moved it elsewhere
            if error.errno not in _SAID_OF_CHANGES:
                raise
            self._find_again()

    def _find_again(self) -> None:
        """Go down from the top of the source to where the copy is, or as far as there is a way."""
        found = os.dup(self._old_root)
        try:
            for depth, level in enumerate(self._levels[1:], 1):
                try:
                    found = _go(found, level.name, level.source)
                except OSError as error:
                    if error.errno not in _SAID_OF_CHANGES:
                        raise
                    self._give_up(depth)
                    break
        except BaseException:
            os.close(found)
            raise
        os.close(self._source)
        self._source = found

    def _give_up(self, depth: int) -> None:
        """End the copies of directories so deep and deeper; what was copied of them stays."""
        while len(self._levels) > depth:
            _attributes(self._target, self._levels.pop().source)
            self._target = _go(self._target, "..", self._levels[-1].target)

    # What is in them

    def _entry(self, name: str) -> None:
        self.path = "/".join([level.name for level in self._levels[1:]] + [name])
        for left in reversed(range(_TRIES)):
            before = _status(self._source, name)
            if before is None:
                return
            try:
                self._try(name, before, last=not left)
            except _Changed:
                delete_entry(self._target, name)
            except OSError as error:
                now = _status(self._source, name)
                unchanged = now is not None and _state(now) == _state(before)
                if error.errno not in _SAID_OF_CHANGES or unchanged:
                    raise
                delete_entry(self._target, name)
            else:
                return

    def _try(self, name: str, status: os.stat_result, *, last: bool) -> None:
        """Copy what a name stands for; _Changed or an OSError where that isn't `status` any more.

        The last time nearly the same will do.
        """
        if stat.S_ISDIR(status.st_mode):
            self._directory(name, status)
            return
        first = self._firsts.get((status.st_dev, status.st_ino))
        # An inode's number may be another's by now.
        if first is not None and status.st_nlink > 1 and first.state == _content(status):
            os.link(
                first.path,
                name,
                src_dir_fd=self._new_root,
                dst_dir_fd=self._target,
                follow_symlinks=False,
            )
            return
        if stat.S_ISREG(status.st_mode):
            status = _regular(self._source, self._target, name)
        else:
            _special(self._source, self._target, name, status)
            now = _status(self._source, name)
            if not last and (now is None or not os.path.samestat(now, status)):
                raise _Changed
        if status.st_nlink > 1:
            self._firsts[status.st_dev, status.st_ino] = _First(self.path, _content(status))

    def _directory(self, name: str, status: os.stat_result) -> None:
        found = os.open(name, _DIRECTORY, dir_fd=self._source)
        try:
            if not os.path.samestat(os.fstat(found), status):
                raise _Changed
            os.mkdir(name, 0o700, dir_fd=self._target)
            self._target = _go(self._target, name)
        except BaseException:
            os.close(found)
            raise
        os.close(self._source)
        self._source = found
        self._begin(name)


def _names(directory: int) -> list[str]:
    try:
        # Opened anew: what is made after that, an open directory need not list.
        again = os.open(".", _DIRECTORY, dir_fd=directory)
        try:
            return os.listdir(again)
        finally:
            os.close(again)
    except FileNotFoundError:
        return []  # it was removed since it was opened


def _status(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def _state(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_ctime_ns)


def _content(status: os.stat_result) -> tuple[int, ...]:
    """Return by what a file is known that nobody has written to; its links may be others."""
    return (status.st_mode, status.st_rdev, status.st_size, status.st_mtime_ns)


def _go(fd: int, name: str, expected: os.stat_result | None = None) -> int:
    """Go from a directory, which is closed, to another; OSError where that isn't the expected."""
    found = os.open(name, _DIRECTORY, dir_fd=fd)
    if expected is not None and not os.path.samestat(os.fstat(found), expected):
        os.close(found)
        raise OSError(errno.ESTALE, "the tree was changed while it was copied")
    os.close(fd)
    return found


def _regular(source: int, target: int, name: str) -> os.stat_result:
    """Copy a regular file; returns what it was."""
    from_fd = os.open(name, _FILE, dir_fd=source)
    try:
        status = os.fstat(from_fd)
        if not stat.S_ISREG(status.st_mode):
            raise _Changed
        to_fd = os.open(name, _NEW_FILE, 0o600, dir_fd=target)
        try:
            status = _copied_in_peace(from_fd, to_fd, status)
            _metadata(from_fd, to_fd, status)
        finally:
            os.close(to_fd)
    finally:
        os.close(from_fd)
    return status


def _copied_in_peace(source: int, target: int, status: os.stat_result) -> os.stat_result:
    """Copy content again until nobody has written to it meanwhile; returns what it was."""
    for _ in range(_TRIES):
        try:
            copy_content(source, target, status.st_size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # of lseek(2): it has become shorter
                raise
        now = os.fstat(source)
        if _content(now) == _content(status):
            return status
        status = now
        os.ftruncate(target, 0)
    copy_content(source, target, status.st_size)
    return status


def _special(source: int, target: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
    copy_link_metadata(source, target, name, status)


def _metadata(source: int, target: int, status: os.stat_result) -> None:
    for _ in range(_TRIES):
        try:
            copy_metadata(source, target, status)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ERANGE):  # somebody sets attributes
                raise
        else:
            return
    _attributes(target, status)


def _attributes(target: int, status: os.stat_result) -> None:
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
