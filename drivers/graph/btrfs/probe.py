"""Whether btrfs works on a root, and what there is to tell of it.

Owns no file: whoever may look into the file system's tables may make and remove subvolumes, and a
subvolume made for a trial would leave a quota group on kernels before 6.10.
"""

from __future__ import annotations

import errno
import os

from layerstore.drivers.errors import DriverError, NotPermitted
from layerstore.drivers.graph.btrfs import quotas
from layerstore.drivers.tree.delete import DIRECTORY
from layerstore.drivers.tree.subvolumes import on_btrfs


def why_not(root: str) -> str:
    """Return one sentence on why btrfs can't be used beneath `root`, or nothing if it can.

    Raises NotPermitted where it is only the privilege that is missing, CAP_SYS_ADMIN of the
    machine's own user namespace, and DriverError where the root can't be opened.
    """
    return "" if _quotas(root) else "the root doesn't lie on btrfs"


def status(root: str) -> list[tuple[str, str]]:
    """Return what there is to tell of the file system. Raises DriverError."""
    return [("Btrfs", ""), ("Quotas", _quotas(root))]


def _quotas(root: str) -> str:
    """Return what kind of quotas there are, or nothing where it isn't btrfs."""
    try:
        directory = os.open(root, DIRECTORY)
        try:
            return quotas.kind_of(directory) if on_btrfs(directory) else ""
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            what = "use subvolumes of"
            raise NotPermitted(what, root, error.errno, "run as root") from error
        raise DriverError.from_os_error("look for btrfs in", root, error) from error
