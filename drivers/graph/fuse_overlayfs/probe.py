"""Whether fuse-overlayfs works on a root: the program, the device, and one real mount.

Owns no rule of its own; the trial is overlay2's.
"""

from __future__ import annotations

import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.fuse_overlayfs.driver import OPTIONS
from layerstore.drivers.graph.fuse_overlayfs.program import DEVICE, PROGRAM, find_program
from layerstore.drivers.graph.overlay2 import probe


def why_not(root: str) -> str:
    """Return one sentence on why the driver can't be used beneath `root`, or nothing if it can.

    Raises NotPermitted where it is only the privilege that is missing, and DriverError where the
    root can't be written to.
    """
    if find_program() is None:
        return f"the program {PROGRAM} isn't installed"
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{DEVICE} can't be used ({error.strerror})"
    if os.geteuid() != 0:
        # Set-user-ID helpers would mount for an ordinary user, who can give files to nobody.
        raise DriverError.from_os_error(f"mount by {PROGRAM} in", root, PermissionError(1, ""))
    return probe.why_not(root, OPTIONS)
