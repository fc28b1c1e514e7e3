"""A user namespace for this process, where an ordinary user wants what root may do.

Owns whose is entered: that of others who work with the same root, or one of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import os

from layerstore.drivers.errors import DriverError, StorageFull
from layerstore.drivers.userns.enter import check_threads, enter, refusal
from layerstore.drivers.userns.holders import deciding, join_any, others_in_here, register
from layerstore.drivers.userns.standing import Standing, is_refused, standing, stands_in

_OWN = "made by layerstore"


def enter_user_namespace(root: str | os.PathLike[str] | None = None) -> Standing:
    """Be root in a user namespace, and see mounts of one's own, for the rest of this process.

    For programs of ordinary users, before they start a thread and open a store: with the IDs that
    /etc/subuid and /etc/subgid have for the user, or its own alone. With `root`, a store's, it is
    the namespace of other processes of the user that are in one for that store, so that each sees
    what the others mount; and others find this one. What a process has mounted is gone with the
    last one in the namespace. For root nothing is done, nor in a user namespace whose root this
    process is already.

    Returns what it has come to. Raises DriverError where the process has several threads, where the
    machine lets nobody make one (NotPermitted; what forbids it is told), or where `root` can't be
    used. podman-unshare(1) is alike.
    """
    if os.geteuid() == 0:
        return standing()
    check_threads()
    try:
        if root is None:
            stands_in(_OWN, enter())
        else:
            _enter_with_others(os.path.realpath(root))
    except DriverError as error:
        is_refused(error)
        raise
    return standing()


def mounts_end_with_this(root: str) -> bool:
    """Whether nobody else is where this process's mounts are seen, which it has made itself."""
    return standing().origin == _OWN and not others_in_here(root)


def _enter_with_others(root: str) -> None:
    from layerstore.drivers.upkeep.recovery import prepare_root  # noqa: PLC0415 - seldom needed

    prepare_root(root, durable=True)
    try:
        with deciding(root) as directory:
            _join_or_make(directory)
            name = register(directory)
    except StorageFull:
        # Nobody finds this process then, but it may be what frees the disk.
        if os.geteuid():
            stands_in(_OWN, enter())
        return
    atexit.register(_leave, f"{root}/layerstore/namespaces/{name}", os.getpid())


def _join_or_make(directory: int) -> None:
    try:
        pid = join_any(directory)
    except OSError as error:
        raise refusal(error) from error
    if pid is None:
        stands_in(_OWN, enter())
    else:
        stands_in(f"that of process {pid}")


def _leave(path: str, pid: int) -> None:
    if os.getpid() == pid:  # no fork of it
        with contextlib.suppress(OSError):  # whoever comes next removes it
            os.unlink(path)
