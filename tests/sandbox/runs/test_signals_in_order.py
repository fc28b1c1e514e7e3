"""Signals around the moment a command is executed: it gets those that came later, whoever waits.

Whoever waits for it may hear of both at once, and is here made to look at the signal first.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import weakref
from collections.abc import Callable, Iterator, Sequence

import pytest

from layerstore.drivers.cgroup.group import NOWHERE, Group
from layerstore.drivers.sandbox import first
from layerstore.drivers.sandbox.relay import Relay
from layerstore.drivers.sandbox.spec import Outcome, RunSpec
from layerstore.drivers.sandbox.warm.kept import Kept

_TRAPPING = ["/bin/sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.01; done"]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Answers:
    """The loop of a process that keeps commands: answers when it is told to."""

    def __init__(self) -> None:
        self.by_fd: dict[int, Callable[[], None]] = {}

    def when(self, fd: int, answer: Callable[[], None]) -> None:
        self.by_fd[fd] = answer

    def leave(self, fd: int) -> None:
        del self.by_fd[fd]

    def over(self, kept: Kept) -> None:
        kept.told.close()


class Trapping(Kept):
    """A command without a group."""

    _task = b""

    def _its_group(self) -> Group:
        return NOWHERE

    def _let_die(self) -> Callable[[], None]:
        return lambda: None

    def _executed(self) -> None:
        pass

    def _finished(self, outcome: Outcome) -> Outcome:
        return outcome

    def _let_go_of_group(self) -> None:
        pass


class ForksNothing:
    """What is asked for is made otherwise."""

    def ask(self, _task: bytes, _fds: Sequence[int]) -> None:
        pass


def trapping() -> int:
    """Start a command that minds SIGUSR1, and return its process ID when it has said so."""
    process = subprocess.Popen(_TRAPPING, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"ready\n"
    process.returncode = 0  # it is waited for elsewhere
    return process.pid


def ended_by_a_signal(
    ends: tuple[socket.socket, socket.socket],
) -> tuple[bytes, weakref.ref[Kept]]:
    """Keep a command that hears of a signal first; returns its outcome, and what kept it."""
    answers, (ours, told) = Answers(), ends
    result, theirs = socket.socketpair()
    alive, held = os.pipe()
    kept = Trapping(answers, told, RunSpec(argv=("sh",)), [theirs.detach(), alive])
    with result, open(os.devnull) as null:
        kept.prepare(ForksNothing(), null.fileno(), [null.fileno()] * 3)
        kept.begin(trapping())
        ours.send(bytes([signal.SIGUSR1]))
        answers.by_fd[told.fileno()]()
        assert select.select([kept.relay.pidfd], [], [], 60)[0]
        answers.by_fd[kept.relay.pidfd]()
        outcome = [result.recv(1 << 16) for _ in range(2)][-1]
        os.close(held)
    assert not answers.by_fd
    return outcome, weakref.ref(kept)


def test_a_keeper_passes_on_a_signal_that_it_hears_of_first(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outcome, _ = ended_by_a_signal(ends)
    assert json.loads(outcome)["status"] == 3


def test_of_a_command_that_has_ended_nothing_is_kept(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Nor left for whoever collects garbage."""
    gc.disable()
    try:
        _, kept = ended_by_a_signal(ends)
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("is_executed", "signals", "early"),
    [
        (True, [signal.SIGUSR1], None),
        (False, [signal.SIGUSR1], signal.SIGUSR1),
        (False, [signal.SIGCONT, signal.SIGTERM], signal.SIGTERM),
        (True, [], None),
    ],
)
def test_who_waits_beside_it_leaves_later_signals_for_later(
    ends: tuple[socket.socket, socket.socket],
    is_executed: bool,
    signals: list[signal.Signals],
    early: signal.Signals | None,
) -> None:
    report, command_end = ends
    (wakeup, waker), (alive, held) = os.pipe(), os.pipe()
    os.write(waker, bytes(signals))
    if is_executed:
        command_end.close()
    relay = Relay(os.getpid(), alive, wakeup, None)
    try:
        assert relay.await_word(report.fileno()) == early
        if is_executed and signals:
            assert os.read(wakeup, 8) == bytes(signals)
    finally:
        for fd in (wakeup, waker, alive, held, relay.pidfd):
            os.close(fd)


def test_with_a_first_process_the_command_is_executed_once_only_it_has_the_report(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    running, has_begun = os.pipe()
    let_go = first._let_go

    def slowly(report: socket.socket) -> None:
        os.write(has_begun, b"too early" if select.select([running], [], [], 0.3)[0] else b"")
        let_go(report)

    monkeypatch.setattr(first, "_let_go", slowly)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            first.be_first_process(theirs, terminal=False)
            theirs.close()
            os.write(has_begun, b"ran")
        finally:
            os._exit(0)
    theirs.close()
    os.close(has_begun)
    with ours, open(running, "rb") as said:
        assert ours.recv(1) == b""
        assert said.read() == b"ran"
    os.waitpid(pid, 0)
