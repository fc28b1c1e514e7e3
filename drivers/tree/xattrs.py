"""Extended attributes: which of them belong in a layer's tar, and overlayfs's opaque mark.

Owns the list of what is the layer's and what is the host's. It never follows a symbolic link.
Attributes of overlayfs itself are neither read into a tar nor taken from one: a tar that could set
them could redirect a directory of the merged tree to any other. Those of fuse-overlayfs neither.
Nor are the labels of security modules: what a process may do with a file is for its host to say.
Sources of the marks: the kernel's Documentation/filesystems/overlayfs.rst; fuse-overlayfs's main.c.
"""

from __future__ import annotations

import errno
import os

from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tree.whiteouts import OPAQUE

CAPABILITY = "security.capability"
OVERRIDE = "user.containers.override_stat"
"""Layerstore's own: see `override`."""
_OVERLAY_OWN = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")
_LAYER_PREFIXES = ("user.", "trusted.", "system.posix_acl_")
_LAYER_NAMES = frozenset({CAPABILITY, "security.ima"})
_UNSUPPORTED = frozenset({errno.ENOTSUP, errno.ENOSYS})
_OPAQUE_NAMES = {
    WhiteoutFormat.OVERLAY: ("trusted.overlay.opaque",),
    WhiteoutFormat.OVERLAY_USER: ("user.overlay.opaque",),
    WhiteoutFormat.FUSE: (
        "trusted.overlay.opaque",
        "user.fuseoverlayfs.opaque",
        "user.overlay.opaque",
    ),
    WhiteoutFormat.REMOVE: (),
}
"""What says it, that first which is written where it may be."""
_OPAQUE_VALUE = b"y"


def is_overlay_own(name: str) -> bool:
    """Whether overlayfs keeps its own books in this attribute."""
    return name.startswith(_OVERLAY_OWN)


def is_hosts_own(name: str) -> bool:
    """Whether a tar may not set an attribute: overlayfs's own, or a label of a security module.

    Nor the one that says who owns a file, whatever its tar says, nor how btrfs is to keep it.
    """
    if name == OVERRIDE or is_overlay_own(name) or name.startswith("btrfs."):
        return True
    return name.startswith("security.") and name not in _LAYER_NAMES


def belongs_in_tar(name: str) -> bool:
    """Whether an attribute is the layer's: not overlayfs's own, nor a label of this host.

    moby's diffs hold `security.capability` only; user attributes, trusted ones and access control
    lists are kept here too, as other builders of images do.
    """
    if name == OVERRIDE or is_overlay_own(name):
        return False
    return name.startswith(_LAYER_PREFIXES) or name in _LAYER_NAMES


def list_xattrs(target: int | str | bytes) -> list[str]:
    """Name a file's attributes; none where the file system has no attributes at all."""
    try:
        if isinstance(target, int):
            return os.listxattr(target)
        return os.listxattr(target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return []
        raise


def get_xattr(target: int | str | bytes, name: str) -> bytes | None:
    """Read one attribute, None where the file hasn't got it."""
    try:
        if isinstance(target, int):
            return os.getxattr(target, name)
        return os.getxattr(target, name, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENODATA or error.errno in _UNSUPPORTED:
            return None
        raise


def set_xattr(target: int | str | bytes, name: str, value: bytes) -> None:
    """Set one attribute. Raises OSError."""
    if isinstance(target, int):
        os.setxattr(target, name, value)
    else:
        os.setxattr(target, name, value, follow_symlinks=False)


def read_xattrs(target: int | str | bytes) -> dict[str, bytes]:
    """Read the attributes that belong in a tar, and OVERRIDE, by name, sorted. Raises OSError."""
    found = {}
    for name in sorted(list_xattrs(target)):
        if name == OVERRIDE or belongs_in_tar(name):
            value = get_xattr(target, name)
            if value is not None:
                found[name] = value
    return found


def is_opaque(target: int | str | bytes, whiteouts: WhiteoutFormat) -> bool:
    """Whether a directory of an overlay hides what lies beneath it in the lower layers."""
    names = _OPAQUE_NAMES[whiteouts]
    if any(get_xattr(target, name) == _OPAQUE_VALUE for name in names):
        return True
    return whiteouts.by_name and _is_there(target, OPAQUE)


def make_opaque(target: int | str | bytes, whiteouts: WhiteoutFormat) -> None:
    """Make a directory hide what lies beneath it. A complete tree has no lower layers to hide."""
    names = _OPAQUE_NAMES[whiteouts]
    for name in names:
        try:
            set_xattr(target, name, _OPAQUE_VALUE)
        except PermissionError:
            if name == names[-1]:
                raise
            continue  # in a user namespace
        break


def _is_there(directory: int | str | bytes, name: str) -> bool:
    try:
        if isinstance(directory, int):
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        else:
            os.lstat(os.path.join(os.fsdecode(directory), name))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
