"""Waiting for a run's command: signals go to it, its terminal is joined to ours, its time is kept.

Owns the loop of the process beside a command, which has no threads; a process that keeps many has
a loop of its own, and tells a relay of what happens. Once the embedding process is gone, or
the time is over, the command is killed, and with it all of its process namespace.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import termios
import time
import tty
from collections.abc import Callable, Iterator

from layerstore.drivers.sandbox.spec import PASSED_ON, Outcome

_CHUNK = 1 << 14
_END_OF_INPUT = b"\x04"
_PATIENCE = 3
_LONGEST_POLL = 86_400.0
"""Seconds; poll(2) counts no further than to 24 days."""
_INSISTING = (signal.SIGINT, signal.SIGTERM)
TIMED_OUT = 124


class Relay:
    """The waiting for one child, whose process ID is `pid`."""

    def __init__(
        self,
        pid: int,
        alive: int,
        wakeup: int,
        time_limit: float | None,
        let_die: Callable[[], None] = lambda: None,
    ) -> None:
        """`alive` is readable once nobody wants the command; `wakeup` yields signal numbers.

        `let_die` is called after SIGKILL, for one that is frozen.
        """
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._alive = alive
        self._wakeup = wakeup
        self._limit = time_limit
        self._let_die = let_die
        self.deadline: float | None = None
        """When its time is over, on the monotonic clock."""
        self._insisted = 0
        self._timed_out = False
        self._terminal: _Terminal | None = None

    @property
    def pid(self) -> int:
        """The child's process ID."""
        return self._pid

    @property
    def pidfd(self) -> int:
        """A descriptor of the child."""
        return self._pidfd

    def join_terminal(self, master: int) -> None:
        """Join the child's terminal to standard input and output."""
        self._terminal = _Terminal(master)

    def await_word(self, report: int) -> signal.Signals | None:
        """Wait until `report` is readable; returns a signal if one comes before to end the child.

        The child, which isn't the command yet, knows nothing to do about it. Of a signal that came
        later than a word it isn't known whether the child is the command by now: that waits.
        """
        poll = select.poll()
        # They are looked at in this order: a signal that is seen first may be the earlier one.
        for fd in (self._alive, self._wakeup, report):
            poll.register(fd, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._alive in ready:
                return signal.SIGKILL
            if report in ready:
                return None
            for number in os.read(self._wakeup, 256):
                if number in PASSED_ON and number != signal.SIGCONT:
                    return signal.Signals(number)

    def begin(self) -> None:
        """Take note that the command is executed: its time begins."""
        if self._limit is not None:
            self.deadline = time.monotonic() + self._limit

    def wait(self) -> Outcome:
        """Wait for the child's end."""
        self.begin()
        with self._terminal.raw() if self._terminal is not None else contextlib.nullcontext():
            while not self._turn():
                pass
            if self._terminal is not None:
                self._terminal.drain()
        return self.reap()

    def reap(self) -> Outcome:
        """Wait for the child, and return how it ended."""
        _, status, used = os.wait4(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return Outcome(
            status=TIMED_OUT if self._timed_out else code if code >= 0 else 128 - code,
            timed_out=self._timed_out,
            # Of those that were waited for, and of the largest one: where no group counts.
            peak_memory=used.ru_maxrss << 10,
            cpu_seconds=used.ru_utime + used.ru_stime,
        )

    def kill(self) -> None:
        """Kill the child and wait for its end."""
        self._send(signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def end_in_time(self) -> None:
        """Kill the command where its time is over."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self._timed_out, self.deadline = True, None
            self._send(signal.SIGKILL)

    def let_go(self) -> None:
        """Kill the command, which nobody wants any more."""
        self._send(signal.SIGKILL)

    def _turn(self) -> bool:
        """Wait for one thing to happen; whether the child has ended."""
        poll = select.poll()
        for fd in (self._pidfd, self._alive, self._wakeup):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        if self._terminal is not None:
            self._terminal.register(poll)
        ready = dict(poll.poll(self._milliseconds_left()))
        if self._pidfd in ready:
            return True
        self.end_in_time()
        if self._alive in ready:
            self._alive = -1
            self.let_go()
        if self._wakeup in ready:
            for number in os.read(self._wakeup, 256):
                self.signal(number)
        if self._terminal is not None:
            self._terminal.turn(ready)
        return False

    def _milliseconds_left(self) -> float | None:
        if self.deadline is None:
            return None
        left = min(self.deadline - time.monotonic(), _LONGEST_POLL)
        return max(left, 0.0) * 1000 + 1

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if number == signal.SIGWINCH and self._terminal is not None:
            self._terminal.resize()
        elif number in PASSED_ON:
            self._insisted += number in _INSISTING
            # A command that is the first process of its namespace minds only what it handles.
            kill = self._insisted >= _PATIENCE and number in _INSISTING
            self._send(signal.SIGKILL if kill else number)

    def _send(self, number: int) -> None:
        os.kill(self._pid, number)
        if number == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):  # it has no session of its own yet
                os.killpg(self._pid, number)
            self._let_die()


class _Terminal:
    """The command's terminal, standard input and standard output; nothing blocks but the last."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._input = 0
        self._to_command = bytearray()
        self._to_output = bytearray()
        os.set_blocking(master, False)
        self.resize()

    def resize(self) -> None:
        """Give the command's terminal the size of ours."""
        with contextlib.suppress(OSError):  # ours is none
            size = fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Have our terminal, if it is one, pass everything on as it is, for a `with` block."""
        if not os.isatty(0):
            yield
            return
        before = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead is kept
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):  # nobody sits at it any more
                termios.tcsetattr(0, termios.TCSADRAIN, before)

    def register(self, poll: select.poll) -> None:
        """Say what is waited for."""
        events = select.POLLOUT if self._to_command else 0
        if self._master >= 0:
            poll.register(self._master, events | (0 if self._to_output else select.POLLIN))
        if self._input >= 0 and not self._to_command:
            poll.register(self._input, select.POLLIN)
        if self._to_output:
            poll.register(1, select.POLLOUT)

    def turn(self, ready: dict[int, int]) -> None:
        """Copy what can be copied."""
        if self._input in ready:
            piece = _read(self._input)
            if not piece:
                self._input = -1
            self._to_command += piece or _END_OF_INPUT
        if self._master in ready:
            self._copy(ready[self._master])
        if 1 in ready and self._to_output:
            self._write_out()

    def _copy(self, events: int) -> None:
        if events & select.POLLOUT and self._to_command:
            with contextlib.suppress(BlockingIOError):
                del self._to_command[: os.write(self._master, self._to_command)]
        if events & (select.POLLIN | select.POLLHUP) and not self._read_master():
            os.close(self._master)
            self._master = -1

    def _read_master(self) -> bool:
        """Read from the command; false where its terminal is closed."""
        try:
            piece = _read(self._master)
        except BlockingIOError:
            return True
        self._to_output += piece
        return bool(piece)

    def _write_out(self) -> None:
        try:
            del self._to_output[: os.write(1, self._to_output)]
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # whoever looked at it is gone
                raise
            self._to_output.clear()

    def drain(self) -> None:
        """Write out what the command, which has ended, has said last."""
        while self._master >= 0 and self._has_more():
            self._write_out()
        while self._to_output:
            self._write_out()

    def _has_more(self) -> bool:
        before = len(self._to_output)
        return self._read_master() and len(self._to_output) > before


def _read(fd: int) -> bytes:
    """Read what is there; nothing where it is a terminal whose other end is closed."""
    try:
        return os.read(fd, _CHUNK)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
