"""Copying a file of a lower layer into a layer's own tree, so that it can be linked there.

Owns what overlayfs does on link(2) of a lower file: its parents are made as they are below, the
file is copied with owner, permissions, attributes and times. Lower layers are only read.
Source: the kernel's Documentation/filesystems/overlayfs.rst, "Non-directories".
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.lower import Found, look_up
from layerstore.drivers.protocol import LayerTree
from layerstore.drivers.tar_names import split
from layerstore.drivers.tar_place import Place
from layerstore.drivers.xattrs import is_overlay_own, list_xattrs, set_xattr

_CHUNK = 1 << 30


def copy_up(place: Place, tree: LayerTree, path: bytes) -> int | None:
    """Copy the file at a clean path from the nearest lower layer that shows it.

    Returns its size in bytes; None where no lower layer shows it or it is a directory.
    Raises OSError.
    """
    found = look_up((tree.root, *tree.lowers), os.fsdecode(path), tree.whiteouts)
    if found is None or stat.S_ISDIR(found.status.st_mode):
        return None
    made = _make_parents(place, tree, split(path)[0])
    above, name = split(path)
    directory = place.directory(above)
    _make(directory, name, found)
    _describe(directory, name, found)
    for parent, below in reversed(made):
        above, name = split(parent)
        _describe(place.directory(above), name, below)
    return found.status.st_size


def _make_parents(place: Place, tree: LayerTree, path: bytes) -> list[tuple[bytes, Found]]:
    """Make the directories on the way; return those made, with what they are below."""
    made = []
    done = b""
    for part in path.split(b"/") if path else []:
        parent = place.directory(done)
        done = done + b"/" + part if done else part
        if place.status(parent, part) is not None:
            continue
        below = look_up((tree.root, *tree.lowers), os.fsdecode(done), tree.whiteouts)
        if below is None:
            raise FileNotFoundError(f"no lower layer has {os.fsdecode(done)}")
        os.mkdir(part, 0o700, dir_fd=parent)
        made.append((done, below))
    return made


def _make(directory: int, name: bytes, found: Found) -> None:
    mode = found.status.st_mode
    if stat.S_ISREG(mode):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        source = os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            target = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                while os.sendfile(target, source, None, _CHUNK):
                    pass
            finally:
                os.close(target)
        finally:
            os.close(source)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(os.fsencode(found.path)), name, dir_fd=directory)
    else:
        os.mknod(name, stat.S_IFMT(mode) | 0o600, found.status.st_rdev, dir_fd=directory)


def _describe(directory: int, name: bytes, found: Found) -> None:
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    status = found.status
    os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
    for attribute in list_xattrs(found.path):
        if not is_overlay_own(attribute):
            value = os.getxattr(found.path, attribute, follow_symlinks=False)
            set_xattr(path, attribute, value)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
