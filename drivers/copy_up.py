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
    above, name = split(path)
    directory = _parents(place, tree, above)
    _make(directory, name, found)
    _describe(b"/proc/self/fd/%d/%b" % (directory, name), found)
    return found.status.st_size


def _parents(place: Place, tree: LayerTree, path: bytes) -> int:
    """Make the directories on the way as the lower layers have them."""
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
        _describe(b"/proc/self/fd/%d/%b" % (parent, part), below)
    return place.directory(path)


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


def _describe(path: bytes, found: Found) -> None:
    status = found.status
    os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
    for name in list_xattrs(found.path):
        if not is_overlay_own(name):
            value = os.getxattr(found.path, name, follow_symlinks=False)
            set_xattr(path, name, value)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
