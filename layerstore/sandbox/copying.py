"""Copying files between a mounted root file system and the rest of the machine, or a tar.

Owns where a copy comes from and goes to, by the rules of `docker cp`. What lies in a root file
system is hostile: its symbolic links are followed as a process in it would follow them, and no
further (openat2(2), RESOLVE_IN_ROOT). Files of other mounts aren't copied.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from layerstore.asking.source import make_pipe
from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import TarStyle
from layerstore.drivers.system import syscalls
from layerstore.drivers.tar.unpack.into import unpack_into
from layerstore.drivers.tar.write import write_tree
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.idmapped import as_root_of

_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_MOST_LINKS = 40
"""As many as the kernel follows."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a root file system; with the root `/` it is one of this machine."""

    root: str
    path: str
    id_map: str = ""
    """RWLayer.id_map of a root file system, whose owners are said as they are inside."""

    @property
    def means_directory(self) -> bool:
        """Whether the path is written as one of a directory: `/etc/` or `/etc/.`."""
        return self.path.endswith(("/", "/.")) or self.path == "."

    @property
    def means_content(self) -> bool:
        """Whether what is in a directory is meant, without the directory: `/etc/.`."""
        return self.path.endswith("/.") or self.path == "."

    @property
    def clean(self) -> str:
        """The absolute path without what says nothing; `..` takes the name before it away.

        As docker has it, also where that name is a link or isn't there.
        """
        return posixpath.normpath(f"/{self.path.lstrip('/')}")


@dataclass(slots=True)
class _Found:
    """What a place leads to: a name in an open directory; `status` None where nothing has it."""

    directory: int
    name: bytes
    called: bytes
    """Its name as the place has it, which is a link's where that was followed."""
    status: os.stat_result | None
    id_map: IdMap | None = None

    @property
    def is_directory(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


def copy(
    source: Place,
    target: Place,
    *,
    follow: bool = False,
    owner: tuple[int, int] | None = None,
    limits: Limits | None = None,
) -> None:
    """Copy a file or a tree, as `docker cp`.

    Into a directory that is there it goes under its own name; else the target is its new name.
    `follow`: a symbolic link that `source` names is followed, not copied. `owner` is the user and
    group of what is made (default: as at the source). Raises DriverError.
    """
    with _found(source, follow=follow) as origin, _found(target, follow=True) as goal:
        if origin.status is None:
            raise DriverError("copy", source.path, errno.ENOENT)
        if source.means_directory and not origin.is_directory:
            raise DriverError("copy", source.path, errno.ENOTDIR)
        if goal.is_directory:
            with _opened(goal.directory, goal.name) as directory:
                name = b"" if source.means_content else origin.called
                _transfer(origin, directory, name, owner, limits, goal.id_map)
            return
        if goal.status is None and target.means_content:
            raise DriverError("copy to", target.path, errno.ENOENT)
        if origin.is_directory and goal.status is not None:
            raise DriverError("copy to", target.path, errno.ENOTDIR)
        if goal.status is not None and not stat.S_ISREG(goal.status.st_mode):
            # It would be replaced, which nobody wants of /dev/null.
            detail = "it is neither a directory nor a regular file"
            raise DriverError("copy to", target.path, errno.EINVAL, detail)
        if target.means_directory and not origin.is_directory:
            raise DriverError("copy to", target.path, errno.ENOTDIR, "it is to be a directory")
        _transfer(origin, goal.directory, goal.name, owner, limits, goal.id_map)


def copy_out(source: Place, out: BinaryIO, *, follow: bool = False) -> None:
    """Write a file or a tree as a tar, whose names begin with its own. Raises DriverError."""
    with _found(source, follow=follow) as origin:
        if origin.status is None:
            raise DriverError("copy", source.path, errno.ENOENT)
        name = b"" if source.means_content else origin.called
        write_tree(origin.directory, origin.name, out, as_name=name, id_map=origin.id_map)


def copy_in(
    tar: BinaryIO,
    target: Place,
    *,
    owner: tuple[int, int] | None = None,
    limits: Limits | None = None,
) -> None:
    """Unpack a tar into a directory that is there.

    Raises InvalidTar, LimitExceeded, DriverError.
    """
    with _found(target, follow=True) as goal:
        if not goal.is_directory:
            code = errno.ENOENT if goal.status is None else errno.ENOTDIR
            raise DriverError("copy to", target.path, code)
        with _opened(goal.directory, goal.name) as directory:
            _unpack(tar, directory, owner, limits, goal.id_map)


@contextlib.contextmanager
def _found(place: Place, *, follow: bool) -> Iterator[_Found]:
    """Find what a place leads to, for a `with` block. Raises DriverError."""
    with contextlib.ExitStack() as stack:
        try:
            root = os.open(place.root, _DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, root)
            path = place.clean
            called = os.fsencode(path).rpartition(b"/")[2]
            if follow or place.means_directory:
                path = _without_links(root, path, dangling=not place.means_directory)
            above, _, name = os.fsencode(path).rpartition(b"/")
            directory = syscalls.openat2(root, above or b".", _DIRECTORY, 0, _RESOLVE)
            stack.callback(os.close, directory)
            id_map = IdMap.parse(place.id_map) if place.id_map else None
            found = _Found(directory, name or b".", called, None, id_map)
            with contextlib.suppress(FileNotFoundError):
                found.status = os.stat(found.name, dir_fd=directory, follow_symlinks=False)
            if follow and found.status is not None and stat.S_ISLNK(found.status.st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except OSError as error:
            magic = "links of /proc aren't followed" if error.errno == errno.ELOOP else ""
            raise DriverError.from_os_error("find", place.path, error, magic) from error
        yield found


def _without_links(root: int, path: str, *, dangling: bool) -> str:
    """Return where an absolute path in the root leads; its last name is no link to be followed.

    It may be a link again by the time it is used; then that is what is copied. `dangling`: a link
    that leads nowhere yet leads to the name that is missing. Raises OSError.
    """
    for _ in range(_MOST_LINKS):
        try:
            return _inside(root, path, os.O_PATH)
        except FileNotFoundError:
            above, _, name = path.rpartition("/")
        if name in ("", ".", ".."):  # no name of anything, and by `..` the root would be left
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        above = _inside(root, above or "/", os.O_PATH | os.O_DIRECTORY)
        path = posixpath.join(above, name)
        leads_to = _link(root, above, name) if dangling else None
        if leads_to is None:
            return path
        path = posixpath.join(above, leads_to).rstrip("/")
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _inside(root: int, path: str, flags: int) -> str:
    """Return the path in the root of what a path leads to."""
    fd = syscalls.openat2(root, path, flags, 0, _RESOLVE)
    try:
        top = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
        return os.readlink(f"/proc/self/fd/{fd}").removeprefix(top) or "/"
    finally:
        os.close(fd)


def _link(root: int, directory: str, name: str) -> str | None:
    """Return what a link says, None for anything else and for nothing."""
    fd = syscalls.openat2(root, directory, os.O_PATH | os.O_DIRECTORY, 0, _RESOLVE)
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened(directory: int, name: bytes) -> Iterator[int]:
    try:
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise DriverError.from_os_error("open", name, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _transfer(
    origin: _Found,
    directory: int,
    name: bytes,
    owner: tuple[int, int] | None,
    limits: Limits | None,
    id_map: IdMap | None,
) -> None:
    """Write a tar in one thread and unpack it in this one."""
    reader, writer = make_pipe()

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as out:
            write_tree(
                origin.directory,
                origin.name,
                out,
                as_name=name,
                style=TarStyle(sparse=True),
                id_map=origin.id_map,
            )

    with ThreadPoolExecutor(1, "copy") as threads:
        writing = threads.submit(write)
        with os.fdopen(reader, "rb", buffering=0) as tar:
            try:
                _unpack(tar, directory, owner, limits, id_map)
            except Exception:
                tar.close()  # so that the writer ends
                trouble = writing.exception()
                if isinstance(trouble, DriverError) and trouble.errno != errno.EPIPE:
                    raise trouble from None
                raise
        writing.result()


def _unpack(
    tar: BinaryIO,
    directory: int,
    owner: tuple[int, int] | None,
    limits: Limits | None,
    id_map: IdMap | None,
) -> None:
    """Unpack as this process, or as the root of a layer with users of its own."""

    def unpack() -> None:
        unpack_into(tar, directory, owner=owner, limits=limits or Limits(), id_map=id_map)

    if id_map is None:
        unpack()
    else:
        as_root_of(id_map, unpack)
