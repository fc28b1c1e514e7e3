"""A process of low priority that empties a root's trash and outlives whoever left it.

Owns when there is one: at most one for each root, and only while something lies in the trash. Who
removes much and ends has nobody else to delete it; the next open of the root goes on where this one
was ended.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess

from layerstore.drivers.errors import DriverError
from layerstore.drivers.root.trash import HANDS, sweep, trash_path
from layerstore.drivers.tree.delete import DIRECTORY
from layerstore.drivers.worker.lean import lean_command

_NICE = 19
"""That gives it the last place for the disk as well: see ioprio_set(2)."""


def leave_trash(root: str) -> bool:
    """Have a root's trash emptied by a process of its own; whether something lies in it.

    Returns once that process is on its own: it is nobody's child, and of no terminal. Raises
    DriverError where it can't be started.
    """
    trash = trash_path(root)
    try:
        if not os.listdir(trash):
            return False
        subprocess.run(
            lean_command(__name__, root),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DriverError.from_os_error("empty", trash, error) from error
    return True


def main(root: str) -> None:
    """Empty the trash, in a process that leaves the one which began it behind."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.nice(_NICE)
    empty(trash_path(root))


def empty(trash: str) -> None:
    """Empty a trash, unless another is at it. Raises DriverError for what can't be deleted.

    Who ends looks once more after it has said that it isn't at it any more: what was thrown away
    just before that may have been left to it.
    """
    directory = os.open(trash, DIRECTORY)
    try:
        while os.listdir(directory) and _lock(directory):
            sweep(trash, HANDS)
            fcntl.flock(directory, fcntl.LOCK_UN)
    finally:
        os.close(directory)


def _lock(directory: int) -> bool:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
