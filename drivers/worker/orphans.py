"""Ending what a dead child process has left: a fork that was stopped as soon as it was there.

The kernel ends a child's forks with it, but for one that was stopped (SIGSTOP) before it could ask
for that. Owns finding it: by the socket that all of them hold, and by the command that is theirs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket

_LOOK_UP = 0.5
"""Seconds that forks have to be ended by the kernel, before they are looked for."""


def command_of(pid: int) -> bytes:
    """Return a process's arguments, each with a NUL after it; none where it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def await_forks(alive: socket.socket, held: int, command: bytes) -> None:
    """Wait until nobody holds the other end of `alive`; kill the child's forks that still do.

    `held` is the inode of that end, `command` what `command_of` says of the child's family.
    """
    poll = select.poll()
    poll.register(alive, select.POLLIN)
    while not poll.poll(_LOOK_UP * 1000):
        for pid in _holders(held):
            if pid != os.getpid() and command_of(pid) == command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _holders(inode: int) -> list[int]:
    wanted = f"socket:[{inode}]"
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and _holds(name, wanted)]


def _holds(name: str, wanted: str) -> bool:
    place = f"/proc/{name}/fd"
    with contextlib.suppress(OSError):  # it has ended, or isn't ours to look at
        for fd in os.listdir(place):
            with contextlib.suppress(OSError):
                if os.readlink(f"{place}/{fd}") == wanted:
                    return True
    return False
