"""A read-write layer's own files once more, or none of them: forks and resets.

Owns what of an upper directory is copied and what isn't, and that a new one takes the old one's
place. Sources: the kernel's Documentation/filesystems/overlayfs.rst, and renameat2(2).
"""

from __future__ import annotations

import errno
import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.exchanging import exchange_for_good, throw_spare_away
from layerstore.drivers.graph.quota.projects import give_project
from layerstore.drivers.tree.delete import delete_tree
from layerstore.drivers.tree.live_copy import copy_live_tree

_IDENTITIES = ("trusted.overlay.uuid", "user.overlay.uuid")
"""Of the mounted file system, which overlayfs keeps in its upper directory; a fork is another."""
_HAS_NONE = (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM)


def fill_upper(source: str, target: str) -> None:
    """Copy an upper directory, which may be mounted, into a new layer's. Raises DriverError."""
    copy_live_tree(source, target)
    for name in _IDENTITIES:
        try:
            os.removexattr(target, name)
        except OSError as error:
            if error.errno not in _HAS_NONE:
                raise DriverError.from_os_error("removexattr", target, error) from error


def reset_layer(path: str, spare: str, trash: str, *, durable: bool) -> None:
    """Give a layer an empty upper directory; `spare` is a path that nothing has.

    See GraphDriver.reset.
    """
    try:
        os.mkdir(spare, 0o710)
        _make_upper(f"{spare}/diff")
        give_project(f"{spare}/diff", path)
        exchange_for_good(f"{spare}/diff", f"{path}/diff", durable=durable)
    except OSError as error:
        raise DriverError.from_os_error("reset", path, error) from error
    finally:
        throw_spare_away(spare, trash)


def reset_in_memory(memory: str, spare: str) -> None:
    """Give a layer whose content lies in a tmpfs an empty upper directory there.

    The old one is deleted at once, as no trash lies in that. Raises DriverError.
    """
    try:
        _make_upper(f"{memory}/{spare}")
        try:
            exchange_for_good(f"{memory}/{spare}", f"{memory}/diff", durable=False)
        finally:
            delete_tree(f"{memory}/{spare}")
    except OSError as error:
        raise DriverError.from_os_error("reset", memory, error) from error


def _make_upper(path: str) -> None:
    os.mkdir(path, 0o755)
    os.chmod(path, 0o755)  # whatever the umask
