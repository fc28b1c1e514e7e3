"""Signals for a command: which reach it, whenever they come, and what it dies of."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import RWLayer, start
from layerstore.drivers.system.proc_children import children_of
from tests.sandbox.conftest import Runs, lines, piped
from tests.support.processes import wait_until_handled

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.mark.parametrize("init", [False, True])
def test_signals_reach_the_command(rw: RWLayer, init: bool) -> None:
    script = "trap 'echo got; exit 3' USR1; echo ready; while true; do sleep 1; done"
    with rw.mounted() as path, piped(path, script, init=init) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGUSR1)
        finished = running.wait()
    assert (finished.status, finished.stdout) == (3, b"got\n")


def at_once(_pid: int) -> None:
    """Wait for nothing."""


def until_ready_for_signals(pid: int) -> None:
    """Wait until a process minds signals by handlers of its own."""
    wait_until_handled(pid, signal.SIGWINCH)


def until_forked(pid: int) -> None:
    """Wait until a process has a child, which isn't the command yet."""
    deadline = time.monotonic() + 60
    while not children_of(pid):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("moment", [at_once, until_ready_for_signals, until_forked])
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1"])
def test_a_signal_that_comes_early_ends_it(
    rw: RWLayer, name: str, moment: Callable[[int], None]
) -> None:
    """With `init` one that comes late does, too, so that it doesn't matter how quick this is."""
    number = signal.Signals[name]
    with rw.mounted() as path:
        running = start(
            path, ["/bin/sleep", "60"], init=True, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        with running:
            moment(running.pid)
            running.send_signal(number)
            finished = running.wait()
    assert (finished.status, finished.stderr) == (128 + number, b"")


def test_signals_that_are_held_back_here_are_not_for_the_command(sh: Runs) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        (line,) = lines(sh("grep SigBlk /proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert int(line.split()[1], 16) == 0


def test_signals_that_are_ignored_here_are_not_for_the_command(sh: Runs) -> None:
    numbers = (signal.SIGCHLD, signal.SIGTTOU)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        (line,) = lines(sh("grep SigIgn /proc/self/status"))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert not int(line.split()[1], 16) & sum(1 << number - 1 for number in numbers)


def test_a_terminal_that_is_closed_ends_nothing(rw: RWLayer) -> None:
    script = "echo ready; until [ -e /go ]; do sleep 0.01; done; echo more; exit 4"
    ours, theirs = pty.openpty()
    with rw.mounted() as path:
        running = start(
            path,
            ["/bin/sh", "-c", script],
            env={"PATH": "/bin"},
            terminal=True,
            stdin=theirs,
            stdout=theirs,
        )
        os.close(theirs)
        with running:
            with os.fdopen(ours, "rb") as screen:
                assert screen.readline() == b"ready\r\n"
            Path(path, "go").touch()
            assert running.wait().status == 4


def test_a_command_without_handlers_dies_of_the_third_signal(rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, "echo ready; exec sleep 60") as running:
        assert running.stdout is not None
        running.stdout.readline()
        sent = 0
        finished = None
        while finished is None:
            running.send_signal(signal.SIGTERM)
            sent += 1
            with contextlib.suppress(TimeoutError):
                finished = running.wait(0.1)
    assert finished.status == 137
    assert sent >= 3
