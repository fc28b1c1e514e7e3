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


def is_whiteout_device(status: os.stat_result) -> bool:
    """Whether a file on disk is overlayfs's whiteout: a character device numbered 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
