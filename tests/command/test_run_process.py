"""The command's run as a process: signals, terminals, and what becomes of it when it is killed."""

from __future__ import annotations

import errno
import io
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layerstore.drivers.root.lock import RootLock
from layerstore.drivers.system.proc_children import children_of
from tests.command.fixtures import Run, nothing_left
from tests.command.terminal import Terminal
from tests.support.busybox import NAME
from tests.support.processes import wait_until_handled

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def driver_name() -> str:
    return "overlay2"


def started(arguments: list[str], *words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "layerstore.command", *arguments, "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_signals_are_passed_on(app: Run, arguments: list[str]) -> None:
    script = "trap 'exit 9' TERM; echo ready; while true; do sleep 0.1; done"
    process = started(arguments, NAME, "sh", "-c", script)
    assert len(app("ls", "-q").split()) == 1, "others may use the store meanwhile"
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate()
    assert (process.returncode, out, error) == (9, b"", b"")
    assert nothing_left(app, arguments)


def test_an_interrupt_from_the_terminal_ends_it_with_init(app: Run, arguments: list[str]) -> None:
    process = started(arguments, "--init", NAME, "sh", "-c", "echo ready; exec sleep 60")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert nothing_left(app, arguments)


def test_a_signal_before_there_is_a_command_ends_it(app: Run, arguments: list[str]) -> None:
    words = ["run", NAME, "sh", "-c", "echo ran"]
    lock = RootLock(arguments[1])  # it waits for the store, and hears of the signal meanwhile
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "layerstore.command", "--wait", "30", *arguments, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_until_handled(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
    finally:
        lock.release()
    out, error = process.communicate()
    assert (process.returncode, out, error) == (143, b"", b"")
    assert nothing_left(app, arguments)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_a_signal_just_before_the_command_is_there_ends_it(
    app: Run, arguments: list[str], name: str
) -> None:
    """With --init one that comes after that does, too, so that it doesn't matter which it is."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "layerstore.command",
            *arguments,
            "run",
            "--init",
            NAME,
            "sleep",
            "60",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for_the_process_beside(process.pid)
    process.send_signal(signal.Signals[name])
    out, error = process.communicate()
    assert (process.returncode, out, error) == (128 + signal.Signals[name], b"", b"")
    assert nothing_left(app, arguments)


def wait_for_the_process_beside(pid: int) -> None:
    """Wait until a command has started the process that waits for what it runs."""
    deadline = time.monotonic() + 60
    while not any(b"sandbox.child" in command_line(child) for child in children_of(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.parametrize("words", [["-it"], ["-t"], ["-i"], []])
def test_what_kills_it_is_told_nothing_more(
    app: Run, arguments: list[str], words: list[str]
) -> None:
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run", "--name", "web"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, *words, NAME, "sh", "-c", "echo ready; exec sleep 60"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        shown = screen.read(4096)
        process.kill()
        shown += read_until_closed(screen)
    process.wait()
    app("rm", "web")
    assert shown.split() == [b"ready"]
    assert nothing_left(app, arguments)


def read_until_closed(screen: io.FileIO) -> bytes:
    """Read what is shown on a terminal until nobody has it any more."""
    shown = b""
    try:
        while piece := screen.read(4096):
            shown += piece
    except OSError as closed:
        if closed.errno != errno.EIO:
            raise
    return shown


def test_a_command_without_its_layer_is_told(app: Run, arguments: list[str]) -> None:
    script = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"
    process = started(arguments, "--name", "web", NAME, "sh", "-c", script)
    app("rm", "web")
    process.terminate()
    _, error = process.communicate()
    assert process.returncode == 0
    assert error == b"layerstore: web was removed by somebody else\n"


def test_with_t_it_has_a_terminal(app: Run, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run", "-it", NAME, "sh"]
    terminal = Terminal(command)
    try:
        terminal.wait_for("$ ")
        terminal.type("PS1=; tty; echo a''b\n")
        terminal.wait_for("ab\r\n")
        assert "/dev/pts/0\r\n" in terminal.shown
        terminal.type("sh -c 'echo go\\ing; exec sleep 60'\n")
        terminal.wait_for("going\r\n")
        terminal.type("\x03")
        terminal.type("echo after''wards\n")
        terminal.wait_for("afterwards\r\n")
        terminal.type("exit 5\n")
        assert terminal.process.wait(60) == 5
    finally:
        terminal.close()
    assert nothing_left(app, arguments)


def test_output_on_a_terminal_is_whole(app: Run, arguments: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run", "-t", NAME, "seq"]
    process = subprocess.Popen([*command, "2000"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        shown = read_until_closed(screen)
    assert process.wait() == 0
    assert shown.split() == [str(number).encode() for number in range(1, 2001)]


@pytest.mark.parametrize("words", [[], ["--init"]])
def test_without_t_it_has_no_hold_of_a_terminal(
    app: Run, arguments: list[str], words: list[str]
) -> None:
    """It could read what is typed there, and let others read it."""
    ours, theirs = pty.openpty()
    before = os.fstat(theirs).st_mode
    script = (
        "for n in 1 2; do [ -t $n ] && echo terminal; chmod 666 /proc/self/fd/$n; done;"
        "seq 2000; echo last >&2; exit 3"
    )
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run", "-u", "0", *words]
    process = subprocess.Popen(
        [*command, NAME, "sh", "-c", script], stdin=theirs, stdout=theirs, stderr=theirs
    )
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs):
        shown = b""
        while not (b"2000\r\n" in shown and b"last\r\n" in shown):
            shown += screen.read(4096)
        assert process.wait() == 3
        assert os.fstat(theirs).st_mode == before
    # What is said on one may come in the middle of a line of the other.
    numbers = shown.replace(b"last\r\n", b"", 1).split()
    assert numbers == [str(number).encode() for number in range(1, 2001)]
