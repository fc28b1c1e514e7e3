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

from layerstore.drivers.errors import DriverError

_FICLONE = 0x40049409
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}
_NO_XATTR = {errno.EOPNOTSUPP, errno.ENOTSUP}
_MAX_COPY = 1 << 30


def copy_tree(source: str, target: str) -> None:
    """Copy what lies in the directory `source` into the empty directory `target`, and its metadata.

    Raises DriverError naming the path; what was copied until then stays.
    """
    copy = _Copy()
    try:
        from_fd = os.open(source, _DIRECTORY)
        try:
            to_fd = os.open(target, _DIRECTORY)
            try:
                copy.directory(from_fd, to_fd, "")
            finally:
                os.close(to_fd)
        finally:
            os.close(from_fd)
    except OSError as error:
        path = f"{source}/{copy.path}" if copy.path else source
        raise DriverError.from_os_error("copy", path, error) from error


class _Copy:
    """One copy under way: what it is at, and the first name of every inode with several."""

    def __init__(self) -> None:
        self.path = ""
        self._links: dict[tuple[int, int], str] = {}
        self._root = -1

    def directory(self, source: int, target: int, path: str) -> None:
        if self._root < 0:
            self._root = target
        with os.scandir(source) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            self._entry(source, target, name, f"{path}{name}")
        self.path = path
        _metadata(source, target, os.fstat(source))

    def _entry(self, source: int, target: int, name: str, path: str) -> None:
        self.path = path
        status = os.lstat(name, dir_fd=source)
        if stat.S_ISDIR(status.st_mode):
            self._subdirectory(source, target, name, path)
            return
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                self._link(first, target, name)
                return
        if stat.S_ISREG(status.st_mode):
            _regular(source, target, name)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            _link_metadata(source, target, name, status)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            _link_metadata(source, target, name, status)

    def _subdirectory(self, source: int, target: int, name: str, path: str) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        from_fd = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            to_fd = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                self.directory(from_fd, to_fd, f"{path}/")
            finally:
                os.close(to_fd)
        finally:
            os.close(from_fd)

    def _link(self, first: str, target: int, name: str) -> None:
        os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)


def _regular(source: int, target: int, name: str) -> None:
    from_fd = os.open(name, _FILE, dir_fd=source)
    try:
        status = os.fstat(from_fd)
        to_fd = os.open(name, _NEW_FILE, 0o600, dir_fd=target)
        try:
            _content(from_fd, to_fd, status.st_size)
            _metadata(from_fd, to_fd, status)
        finally:
            os.close(to_fd)
    finally:
        os.close(from_fd)


def _content(source: int, target: int, size: int) -> None:
    if not size:
        return
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # a hole to the end
        end = os.lseek(source, start, os.SEEK_HOLE)
        _range(source, target, start, end)
        position = end
    os.ftruncate(target, size)


def _range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = os.copy_file_range(source, target, min(end - start, _MAX_COPY), start, start)
        if not count:
            break  # the file has become shorter
        start += count


def _metadata(source: int, target: int, status: os.stat_result) -> None:
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    with _without_xattrs():
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _link_metadata(source: int, target: int, name: str, status: os.stat_result) -> None:
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
