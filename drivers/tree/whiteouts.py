"""The names and files that say, in a tar and in an overlay directory, that something is gone.

Owns these constants and tests only. It never touches a file.
Sources: OCI image layer specification, section "Whiteouts"; the kernel's
Documentation/filesystems/overlayfs.rst, section "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.model.tree import WHITEOUT_PREFIX

PREFIX = WHITEOUT_PREFIX
META_PREFIX = ".wh..wh."
"""Names that belong to AUFS itself; in a layer only the opaque marker has a meaning."""
OPAQUE = ".wh..wh..opq"
"""A tar entry of this name says that its directory hides what the lower layers have there."""


def named_by(name: str, status: os.stat_result) -> str:
    """Return what a file named as a whiteout says is gone, where the format is `by_name`.

    Empty for what is none: a name without the prefix, AUFS's own names, and anything else but a
    plain file, as which fuse-overlayfs leaves what it has once taken for a name.
    """
    is_one = name.startswith(PREFIX) and not name.startswith(META_PREFIX)
    return name[len(PREFIX) :] if is_one and stat.S_ISREG(status.st_mode) else ""


def is_whiteout_device(status: os.stat_result) -> bool:
    """Whether a file on disk is overlayfs's whiteout: a character device numbered 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
