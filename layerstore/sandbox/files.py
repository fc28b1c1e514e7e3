"""Reading, writing and listing files of a mounted root file system, one at a time.

What lies there is hostile: paths are followed as a process in it would follow them, never out of
it and never by way of /proc, and only regular files are opened. For trees and tars there is
`copying`. Source: openat2(2), RESOLVE_IN_ROOT.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from layerstore.drivers.errors import DriverError, LimitExceeded
from layerstore.drivers.sandbox.inside import Tree
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.idmapped import as_root_of

MOST_READ = 100 << 20
"""Bytes of a file that are read at most where nothing else is said."""
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a directory has under a name."""

    name: str
    kind: str
    """`file`, `directory`, `link`, `fifo`, `socket`, `character device` or `block device`."""
    size: int
    """Bytes."""
    mode: int
    """Permissions, as of chmod."""
    uid: int
    gid: int
    mtime_ns: int
    target: str | None = None
    """What a link says."""


def read_file(root: str, path: str, *, most: int = MOST_READ) -> bytes:
    """Return a regular file's content. Raises DriverError; LimitExceeded for more than `most`."""
    with _tree(root, "read", path) as tree, _regular(tree, tree.existing(path), "read") as fd:
        with open(fd, "rb", closefd=False) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise LimitExceeded(f"what is read of {path}, in bytes,", most)
        return content


def write_file(
    root: str,
    path: str,
    content: bytes,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
    id_map: str = "",
) -> None:
    """Write a regular file, making it, and the directories above it, where they are missing.

    A file that is there keeps its mode and owner unless others are given; what is made is root's,
    files with mode 0644 and directories with 0755. With `id_map`, the layer's, owners are those
    inside. Raises DriverError.
    """
    if not id_map:
        _write(root, path, content, mode, owner)
        return
    users = IdMap.parse(id_map)
    outside = users.outside_of(*owner) if owner is not None else None
    if owner is not None and outside is None:
        detail = f"the layer has no owner {owner[0]}:{owner[1]}, its users are {id_map}"
        raise DriverError("write", path, errno.EOVERFLOW, detail)
    as_root_of(users, lambda: _write(root, path, content, mode, outside))


def _write(
    root: str, path: str, content: bytes, mode: int | None, owner: tuple[int, int] | None
) -> None:
    with _tree(root, "write", path) as tree, _regular(tree, tree.file(path), "write") as fd:
        os.ftruncate(fd, 0)
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        if owner is not None:
            os.fchown(fd, *owner)
        if mode is not None:  # after the owner, whose change takes bits of it away
            os.fchmod(fd, mode)


def list_directory(root: str, path: str, *, id_map: str = "") -> list[Entry]:
    """Return what is in a directory, by name; owners as inside of `id_map`. Raises DriverError."""
    users = IdMap.parse(id_map) if id_map else None
    with _tree(root, "list", path) as tree:
        opened = os.open(tree.place(tree.existing(path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = (_entry(opened, name, users) for name in sorted(os.listdir(opened)))
            return [entry for entry in found if entry is not None]
        finally:
            os.close(opened)


def stat_file(root: str, path: str, *, id_map: str = "") -> Entry:
    """Return what is at a path, links followed, under its last name, as `list_directory` would.

    Raises DriverError.
    """
    users = IdMap.parse(id_map) if id_map else None
    with _tree(root, "look at", path) as tree:
        found = os.fstat(tree.existing(path))
        return _told(posixpath.basename(path.rstrip("/")), found, users)


def _entry(directory: int, name: str, users: IdMap | None) -> Entry | None:
    """Return what has a name; None where that has gone meanwhile."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        link = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else None
    except FileNotFoundError:
        return None
    return _told(name, status, users, link)


def _told(
    name: str, status: os.stat_result, users: IdMap | None, target: str | None = None
) -> Entry:
    uid, gid = status.st_uid, status.st_gid
    if users is not None:
        uid, gid = users.inside_of(uid, gid)
    return Entry(
        name=name,
        kind=_KINDS[stat.S_IFMT(status.st_mode)],
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=uid,
        gid=gid,
        mtime_ns=status.st_mtime_ns,
        target=target,
    )


@contextlib.contextmanager
def _tree(root: str, doing: str, path: str) -> Iterator[Tree]:
    """Have a root file system open for a `with` block; what fails in it names the path."""
    try:
        with contextlib.closing(Tree(root)) as tree:
            yield tree
    except OSError as error:
        raise DriverError.from_os_error(doing, path, error) from error


@contextlib.contextmanager
def _regular(tree: Tree, found: int, doing: Literal["read", "write"]) -> Iterator[int]:
    """Open what was found, not what has its path by now; others than files may act when opened."""
    mode = os.fstat(found).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        kind = _KINDS[stat.S_IFMT(mode)]
        raise DriverError(doing, tree.inside(found), errno.EINVAL, f"it is a {kind}")
    flags = os.O_RDONLY if doing == "read" else os.O_WRONLY
    fd = os.open(tree.place(found), flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
