"""A command that the warm process keeps itself, without a process beside it.

Owns what a process beside a command is else for, as answers to what happens: it is heard of
until it is executed, sent signals, ended in time, waited for, told of. What fails before the fork
is left to a process beside it, which tells why; what fails later ends this command, and no other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from layerstore.drivers.cgroup.group import NOWHERE, Group
from layerstore.drivers.confine.streams import put_on_own_mounts
from layerstore.drivers.errors import from_wire, to_wire
from layerstore.drivers.sandbox.relay import Relay
from layerstore.drivers.sandbox.spec import PASSED_ON, Outcome, RunSpec
from layerstore.drivers.system.readable import stream_socket

_MAX_REPORT = 1 << 16
_MOST_SIGNALS = 64


class Forks(Protocol):
    """What forks."""

    def ask(self, task: bytes, fds: Sequence[int]) -> None:
        """Have a command forked that is told by these descriptors. Raises OSError.

        It will be a child of this process.
        """


class Loop(Protocol):
    """What waits for many commands at once."""

    def when(self, fd: int, answer: Callable[[], None]) -> None:
        """Have something done whenever a descriptor is readable."""

    def leave(self, fd: int) -> None:
        """Wait for a descriptor no more."""

    def over(self, kept: Kept) -> None:
        """Take note that a command has ended, and tell whoever wants to know."""


class Kept(ABC):
    """One command. Its descriptors are its own."""

    _task: bytes
    """What it is to the one that forks."""
    _joined: tuple[int, ...] = ()
    """A descriptor of the container that it joins, if it does."""

    def __init__(self, loop: Loop, told: socket.socket, spec: RunSpec, fds: Sequence[int]) -> None:
        """`told` brings signals; `fds` are where the outcome is told, and what ends it."""
        self._loop = loop
        self.told = told
        """Where signals come from; its end is told there, too."""
        self._spec = spec
        self._result = stream_socket(fds[0])
        self._alive = fds[1]
        self._held = contextlib.ExitStack()
        self._held.callback(os.close, self._alive)
        self._held.callback(self._result.close)
        self._report = b""
        self._is_executed = False
        self._failure: Exception | None = None
        self._early: signal.Signals | None = None
        self._waited_for: set[int] = set()
        self._group = NOWHERE
        self._ours: socket.socket
        """Where its process tells what goes wrong until it is the command."""
        self._undo = contextlib.ExitStack()
        self.relay: Relay
        """Of its process, once that is forked."""

    def prepare(self, forks: Forks, spec: int, streams: Sequence[int]) -> None:
        """Ask for its process, with which it has to `begin`. Raises LayerStoreError, OSError."""
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as theirs:
            on_failure.callback(self._held.close)
            if not self._spec.hold:  # which lets go of them before anybody can look
                put_on_own_mounts(streams, keep=True)
            self._group = self._its_group()
            on_failure.callback(self._let_go_of_group)
            entrances = self._group.entrances()
            for fd in entrances:
                theirs.callback(os.close, fd)
            self._ours, told = socket.socketpair()
            self._held.callback(self._ours.close)
            theirs.callback(told.close)
            parent, held = os.pipe2(os.O_CLOEXEC)
            self._held.callback(os.close, held)
            theirs.callback(os.close, parent)
            given = [spec, *streams, told.fileno(), parent, *self._joined, *entrances]
            forks.ask(self._task, given)
            self._undo = on_failure.pop_all()

    def give_up(self) -> None:
        """Let go of what was prepared: there is no such process, or it can't be kept."""
        for fd in list(self._waited_for):
            self._leave(fd)
        self._undo.close()

    def begin(self, pid: int) -> None:
        """Keep the process, which was forked. Raises OSError."""
        report = self._ours
        self.relay = Relay(pid, self._alive, -1, self._spec.time_limit, self._let_die())
        self._held.callback(os.close, self.relay.pidfd)
        with contextlib.suppress(BrokenPipeError):  # nobody wants it, which is heard at once
            socket.send_fds(self._result, [b"p"], [self.relay.pidfd])
        self._wait_for(report.fileno(), lambda: self._do(lambda: self._hear(report)))
        self._wait_for(self._alive, lambda: self._do(self._let_go))
        self._wait_for(self.told.fileno(), lambda: self._do(lambda: self._take_signals(report)))
        self._wait_for(self.relay.pidfd, lambda: self._end(report))

    @abstractmethod
    def _its_group(self) -> Group:
        """Return its control group. Raises LayerStoreError."""

    @abstractmethod
    def _let_die(self) -> Callable[[], None]:
        """Return what is done after SIGKILL."""

    @abstractmethod
    def _executed(self) -> None:
        """Do what is to be done once it is."""

    @abstractmethod
    def _finished(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what its group tells."""

    @abstractmethod
    def _let_go_of_group(self) -> None:
        """Remove its group, if that is its own."""

    def end_in_time(self) -> None:
        """Kill it where its time is over."""
        self._do(self.relay.end_in_time)

    def _wait_for(self, fd: int, answer: Callable[[], None]) -> None:
        self._waited_for.add(fd)
        self._loop.when(fd, answer)

    def _do(self, action: Callable[[], None]) -> None:
        """Do something; what fails is the end of this command, and of no other."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - it is told once the command has ended
            self._failure = self._failure or error
            os.kill(self.relay.pid, signal.SIGKILL)

    def _leave(self, fd: int) -> None:
        if fd in self._waited_for:
            self._waited_for.remove(fd)
            self._loop.leave(fd)

    def _hear(self, report: socket.socket, flags: int = 0) -> None:
        """Hear of it until it is executed, which closes its end."""
        piece = report.recv(_MAX_REPORT, flags)
        self._report += piece
        if not piece:
            self._leave(report.fileno())
            report.close()
            if not self._report and self._early is None:
                self._is_executed = True
                self.relay.begin()
                self._executed()

    def _hear_out(self, report: socket.socket, flags: int = 0) -> None:
        """Hear all that it tells; without MSG_DONTWAIT only once it has ended."""
        while report.fileno() in self._waited_for:
            self._hear(report, flags)

    def _let_go(self) -> None:
        self._leave(self._alive)
        if not self._is_executed:
            self._early = signal.SIGKILL
        self.relay.let_go()

    def _take_signals(self, report: socket.socket) -> None:
        numbers = b""
        with contextlib.suppress(ConnectionResetError):  # gone, without having heard of it
            numbers = self.told.recv(_MOST_SIGNALS)
        if not numbers:  # nobody sends any more
            self._leave(self.told.fileno())
        with contextlib.suppress(BlockingIOError):  # they may have come after it was executed
            self._hear_out(report, socket.MSG_DONTWAIT)
        for number in numbers:
            if self._is_executed:
                self.relay.signal(number)
            elif number in PASSED_ON and number != signal.SIGCONT:
                self._early = signal.Signals(number)
                self.relay.let_go()

    def _end(self, report: socket.socket) -> None:
        """Tell how it has ended."""
        self._do(lambda: self._hear_out(report))
        for fd in list(self._waited_for):
            self._leave(fd)
        try:
            try:
                outcome = self._finished(self.relay.reap())
            finally:
                self._let_go_of_group()
            if self._failure is not None:
                raise self._failure
            if self._early is not None:
                outcome = Outcome(status=128 + self._early)
            elif self._report:
                raise from_wire(json.loads(self._report[1:]))
            reply: object = outcome._asdict()
        except Exception as error:  # noqa: BLE001 - every error goes to whoever wants the outcome
            reply = {"error": to_wire(error, "run")}
        with contextlib.suppress(BrokenPipeError):
            self._result.sendall(json.dumps(reply).encode())
        self._held.close()
        self._undo.pop_all()  # nothing of it refers to itself any more
        self._failure = None
        self._loop.over(self)
