"""A process that forks for runs: what this process has of it, and of each that it has forked.

Owns the way there, packets with descriptors; what that process does is `drivers/sandbox/warm`. A
forked one is used as a subprocess.Popen is, though it is nobody's child here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.warm.process import IS_KEPT, KEEP, NUMBER
from layerstore.drivers.system.readable import receive_descriptors
from layerstore.drivers.work.descriptors import OwnedDescriptor
from layerstore.sandbox.spawning import Stream, Task, interpreter

if TYPE_CHECKING:
    from types import TracebackType


class Warm:
    """A process that is ready to fork for commands, which then begin some 20 ms earlier.

    It has the surroundings of its own start: limits, priority, control group and namespaces. It may
    be used from any thread. When it is closed, or this process ends, what it has forked goes on
    until its own end, as that is watched by who has started it.
    """

    _prefix = ""
    """Before the names of tasks."""

    def __init__(self) -> None:
        """Start it. Raises DriverError."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = subprocess.DEVNULL
        try:
            with theirs:
                fds = [theirs.fileno()]
                self._process = interpreter(
                    "warm.process", fds, stdin=null, stdout=null, stderr=None
                )
        except OSError as error:
            self._control.close()
            raise DriverError.from_os_error("spawn", sys.executable, error) from error

    def spawn(
        self, task: Task, fds: Sequence[int], *, stdin: Stream, stdout: Stream, stderr: Stream
    ) -> Forked:
        """Have a process forked; a `spawning.Spawner`. Raises OSError."""
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as theirs:
            ends = [
                _end(stream, number, on_failure, theirs)
                for number, stream in enumerate((stdin, stdout, stderr))
            ]
            if stderr == subprocess.STDOUT:
                ends[2] = _End(ends[1].theirs, None)
            told, their_end = socket.socketpair()
            theirs.callback(their_end.close)
            on_failure.callback(told.close)
            given = [their_end.fileno(), *(end.theirs for end in ends), *fds]
            socket.send_fds(self._control, [(self._prefix + task).encode()], given)
            theirs.close()
            forked = Forked(told, *(end.ours for end in ends))
            on_failure.pop_all()
            return forked

    def close(self) -> None:
        """End it, and wait for its end. Idempotent."""
        self._control.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Keeping(Warm):
    """One that keeps what needs no process beside it: containers without a command, and commands in
    those. They end with it.
    """

    _prefix = KEEP


class Forked:
    """A process that a warm one has forked; used as a subprocess.Popen is."""

    def __init__(
        self,
        told: socket.socket,
        stdin: IO[bytes] | None,
        stdout: IO[bytes] | None,
        stderr: IO[bytes] | None,
    ) -> None:
        """Hear of it on a socket. Raises OSError where it couldn't be forked."""
        content, fds, _ = receive_descriptors(told, NUMBER.size, 1)
        if not content:
            raise OSError(errno.ECONNRESET, "the warm process has ended")
        (self.pid,) = NUMBER.unpack(content)
        if self.pid < 0:
            raise OSError(-self.pid, os.strerror(-self.pid))
        self._is_kept = bool(self.pid & IS_KEPT)
        self.pid &= ~IS_KEPT
        self._pidfd = OwnedDescriptor(fds[0])
        self._told = told
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing happens once it has ended."""
        if self.returncode is not None:
            return
        if self._is_kept:
            with contextlib.suppress(BrokenPipeError):
                self._told.send(bytes([sig]))
        else:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd.fileno(), sig)

    def wait(self) -> int:
        """Wait for its end, and return how it ended.

        Where nobody tells of it any more, the warm process has ended, and waits for no child of
        its own either: then it counts as killed.
        """
        if self.returncode is None:
            content = self._told.recv(NUMBER.size)
            self.returncode = NUMBER.unpack(content)[0] if content else -signal.SIGKILL
            self._told.close()
            self._pidfd.close()
        return self.returncode


class _End(NamedTuple):
    """A standard stream: their end of it, and ours where it is a pipe."""

    theirs: int
    ours: IO[bytes] | None


def _end(
    stream: Stream, number: int, on_failure: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> _End:
    """Make what subprocess makes of a stream."""
    if stream is None:
        return _End(number, None)
    if stream == subprocess.PIPE:
        ends = os.pipe2(os.O_CLOEXEC)
        here, there = (1, 0) if number == 0 else (0, 1)
        theirs.callback(os.close, ends[there])
        ours: IO[bytes] = os.fdopen(ends[here], "wb" if number == 0 else "rb")
        on_failure.callback(ours.close)
        return _End(ends[there], ours)
    if stream == subprocess.DEVNULL:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        theirs.callback(os.close, null)
        return _End(null, None)
    if isinstance(stream, int):
        return _End(stream, None)
    return _End(stream.fileno(), None)
