"""The engine's process, from its start to the end of all that it has started.

Owns the process. It has a session of its own: an interrupt at the embedder's terminal is not for
it, and what is left of it when it has died is found by that session's number, which no other
process gets as long as it isn't reaped.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from layerstore.drivers.errors import DriverError, InternalError
from layerstore.drivers.system.frames import send_frame
from layerstore.drivers.system.held_signals import signals_held
from layerstore.drivers.system.readable import stat_of
from layerstore.drivers.work import OwnedDescriptor
from layerstore.drivers.worker.lean import lean_command

_MAIN = "layerstore.api.engine_process"
_GRACE = 30.0
"""Seconds that what a dead engine has left has to end, as a system call may take."""


class EngineProcess:
    """A process that was told how to open its store, and may not have done so yet."""

    def __init__(self, how: object, *, lock: int, notes: int, door: int | None) -> None:
        """Spawn it. Raises DriverError.

        `how` is the opening as plain data; `lock`, `notes` and `door`, if there is one, are the
        numbers of descriptors that it inherits.
        """
        self._ended = False
        try:
            self.sock, theirs = socket.socketpair()
            numbers = (theirs.fileno(), lock, notes)
            with theirs, signals_held([signal.SIGINT]):
                self._process = subprocess.Popen(
                    lean_command(_MAIN, *map(str, (*numbers, os.getpid()))),
                    pass_fds=numbers if door is None else (*numbers, door),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except OSError as error:
            raise DriverError.from_os_error("spawn", sys.executable, error) from error
        self.pid = self._process.pid
        try:
            self.pidfd = OwnedDescriptor(os.pidfd_open(self.pid))
            """Readable once it has ended; it means this process whoever reaps it."""
        except OSError as error:
            self._process.kill()
            self._process.wait()
            self.sock.close()
            raise DriverError.from_os_error("watch", "the engine's process", error) from error
        with contextlib.suppress(OSError):  # one that is dead already shows when it is listened to
            send_frame(self.sock, how)

    def end(self, grace: float = 0.0) -> None:
        """Wait until it has ended, killing it after `grace` seconds, and all of its session.

        Raises InternalError where something of it doesn't end. Idempotent.
        """
        self.sock.close()
        if self._ended:
            return
        if not _ends(self.pidfd.fileno(), grace):
            self.kill()
            if not _ends(self.pidfd.fileno(), _GRACE):
                raise InternalError("ending the engine", f"process {self.pid} doesn't end")
        deadline = time.monotonic() + _GRACE
        while left := _session_of(self.pid):
            for pid in left:
                self._end_other(pid, deadline)
        self._process.wait()
        self._ended = True
        self.pidfd.close()

    def kill(self) -> None:
        """Kill it, from any thread."""
        with contextlib.suppress(ProcessLookupError, ValueError):  # it has ended
            signal.pidfd_send_signal(self.pidfd.fileno(), signal.SIGKILL)

    def _end_other(self, pid: int, deadline: float) -> None:
        """Have a process end that the engine has started; the kernel is at it, as a rule."""
        with contextlib.suppress(ProcessLookupError), _pidfd(pid) as pidfd:
            if pid in _session_of(self.pid):  # it hasn't become another one meanwhile
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                if not _ends(pidfd, max(deadline - time.monotonic(), 0.0)):
                    raise InternalError("ending the engine", f"its process {pid} doesn't end")


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _ends(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _session_of(leader: int) -> list[int]:
    """Return the processes that run in a session, but for its leader. proc(5), /proc/<pid>/stat."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == leader:
            continue
        try:
            _number, _name, state, _parent, _group, session, *_ = stat_of(name)
        except OSError:
            continue  # it has ended
        if int(session) == leader and state not in b"ZX":
            found.append(int(name))
    return found
