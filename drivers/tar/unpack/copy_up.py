"""Copying what a lower layer has into a layer's own tree, so that it can be changed there.

Owns what overlayfs does on link(2) of a lower file: the file is copied with owner, permissions,
attributes and times, and directories on the way are made as they are below. Lower layers are only
read.
Source: the kernel's Documentation/filesystems/overlayfs.rst, "Non-directories".
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.model.tree import LayerTree
from layerstore.drivers.tar.names import split
from layerstore.drivers.tar.unpack.place import Place
from layerstore.drivers.tree.copy import copy_content
from layerstore.drivers.tree.directories import reached
from layerstore.drivers.tree.lower import look_up, look_up_in
from layerstore.drivers.tree.xattrs import is_overlay_own, list_xattrs, set_xattr


def copy_up(place: Place, tree: LayerTree, path: bytes) -> int | None:
    """Copy the file at a clean path from the nearest lower layer that shows it.

    Returns its size in bytes; None where no lower layer shows it or it is a directory.
    Raises OSError.
    """
    found = look_up((tree.root, *tree.lowers), os.fsdecode(path), tree.whiteouts)
    if found is None or stat.S_ISDIR(found.status.st_mode):
        return None
    above, name = split(path)
    directory = place.ensure_directory(above)
    with reached(found.path) as source:
        _make(directory, name, source, found.status)
        _describe(directory, name, source, found.status)
    return found.status.st_size


class Resembling:
    """Gives a directory that was just made what the one has that shows in its place below.

    Else a layer that holds only something in it would change its owner and permissions.
    """

    def __init__(self, tree: LayerTree) -> None:
        self._tree = tree
        self._below: tuple[str, ...] = ()
        """The lower directories that show in the place of the last one."""

    def made(self, place: Place, path: bytes, *, in_last: bool) -> None:
        """Describe a directory, which may lie in the one described last."""
        tree = self._tree
        if not tree.lowers:
            return
        above, name = split(path)
        if not in_last:
            self._below = self._lowers_of(above)
        found = look_up_in(self._below, os.fsdecode(name), tree.whiteouts)
        self._below = found.merged if found is not None else ()
        if self._below:
            with reached(self._below[0]) as below:
                _describe(place.directory(above), name, below, os.lstat(below))

    def _lowers_of(self, path: bytes) -> tuple[str, ...]:
        if not path:
            return tuple(self._tree.lowers)
        tree = self._tree
        found = look_up((tree.root, *tree.lowers), os.fsdecode(path), tree.whiteouts)
        return found.merged[1:] if found is not None else ()


def _make(directory: int, name: bytes, path: str, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            target = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                copy_content(source, target, status.st_size)
            finally:
                os.close(target)
        finally:
            os.close(source)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(os.fsencode(path)), name, dir_fd=directory)
    else:
        os.mknod(name, stat.S_IFMT(mode) | 0o600, status.st_rdev, dir_fd=directory)


def _describe(directory: int, name: bytes, source: str, status: os.stat_result) -> None:
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
    for attribute in list_xattrs(source):
        if not is_overlay_own(attribute):
            value = os.getxattr(source, attribute, follow_symlinks=False)
            set_xattr(path, attribute, value)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
