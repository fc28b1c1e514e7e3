"""The command's run: docker's arguments and exit statuses, and nothing left behind."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.command import main
from layerstore.drivers.root.lock import RootLock
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from tests.command.fixtures import Run
from tests.command.test_shell import Terminal
from tests.support.busybox import NAME, image_tar
from tests.support.processes import wait_until_handled

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def driver_name() -> str:
    return "overlay2"


@pytest.fixture
def app(run: Run, root_dir: Path) -> Run:
    """The command with the image loaded."""
    path = root_dir / "image.tar"
    path.write_bytes(image_tar(User="app", WorkingDir="/srv", Entrypoint=["env", "E=1"]))
    run("load", path)
    return run


Ended = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ended(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> Ended:
    """A function that runs it in this process; returns its status and output."""

    def run_it(*words: str) -> tuple[int, str, str]:
        try:
            status = main([*arguments, "run", *words])
        except SystemExit as wrong:
            status = int(str(wrong.code))
        out, err = capfd.readouterr()
        return status, out, err

    return run_it


def nothing_left(run: Run, arguments: list[str]) -> bool:
    root = Path(arguments[1])
    return (
        run("ls", "-q") == ""
        and not [point for point in mount_points() if point.path.startswith(str(root))]
        and list((root / "layerstore/trash").iterdir()) == []
    )


def test_the_image_says_what_is_run_and_how(ended: Ended, app: Run, arguments: list[str]) -> None:
    status, out, _ = ended(NAME, "sh", "-c", "id -u; pwd; echo $E $FROM $HOSTNAME")
    assert (status, out.splitlines()[:2]) == (0, ["1000", "/srv"])
    assert out.splitlines()[2].startswith("1 image run-")
    assert nothing_left(app, arguments)


def test_arguments_say_it_instead(
    ended: Ended, app: Run, arguments: list[str], tmp_path: Path
) -> None:
    words = ["-u", "0", "-w", "/tmp", "--entrypoint", "sh", "-e", "A=1", "-e", "PATH", "--hostname",  # noqa: S108
             "h", "-v", f"{tmp_path}:/v:ro", "--name", "name1", "--init", "--rm"]  # fmt: skip
    script = "id -u; pwd; echo $A $E; hostname; touch /v/x 2>/dev/null || echo ro; echo $PATH"
    status, out, _ = ended(*words, NAME, "-c", script)
    assert status == 0
    assert out.splitlines() == ["0", "/tmp", "1", "h", "ro", os.environ["PATH"]]  # noqa: S108


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([NAME, "sh", "-c", "exit 7"], 7, ""),
        ([NAME, "sh", "-c", "sh -c 'kill -9 $$' 2> /dev/null; exit $?"], 137, ""),
        (["--entrypoint", "nonsense", NAME], 127, "nonsense can't be run: No such file"),
        (["--entrypoint", "/etc", NAME], 126, "/etc can't be run: Permission denied"),
        (["none", "true"], 125, "image none does not exist"),
        (["-u", "none", NAME, "true"], 125, "no user or group none"),
        (["-v", "x", NAME, "true"], 125, "a volume is SOURCE:/TARGET"),
        (["-v", "/missing-here:/x", NAME, "true"], 125, "/missing-here: No such file"),
        (["-v", "/etc:/", NAME, "true"], 125, "'/etc:/': a volume's target can't be /"),
        (["-v", "/etc:/proc", NAME, "true"], 125, "a volume's target can't be /proc"),
        (["--hostname", "h" * 65, NAME, "true"], 125, "a host name has at most 64 bytes"),
        (["-e", "=x", NAME, "true"], 125, "a variable is KEY=VALUE"),
        (["-w", "/etc/passwd", NAME, "true"], 125, "go to /etc/passwd: Not a directory"),
        (["--entrypoint", "", NAME], 125, "it names no command"),
        (["--name", "../x", NAME, "true"], 125, "invalid name"),
        (["--time-limit", "0.2", NAME, "sleep", "60"], 124, ""),
        (["--time-limit", "1e30", NAME, "true"], 0, ""),
    ],
)
def test_exit_statuses_are_docker_s(
    ended: Ended, app: Run, arguments: list[str], words: list[str], status: int, message: str
) -> None:
    found, _, error = ended(*words)
    assert found == status
    assert message in error
    assert error.count("\n") == (1 if message else 0)
    assert nothing_left(app, arguments)


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([NAME, "--", "x"], "-- x"),
        (["--", NAME, "--", "x", "--"], "-- x --"),
        ([NAME, "--help", "-v", "--"], "--help -v --"),
        (["--", NAME], ""),
    ],
)
def test_words_after_the_image_are_the_command_s(
    ended: Ended, app: Run, words: list[str], printed: str
) -> None:
    assert ended("--entrypoint", "echo", *words) == (0, f"{printed}\n", "")


@pytest.mark.parametrize("words", [["--rm", "--keep"], ["--network", "x"], ["--time-limit", "x"]])
def test_wrong_usage_is_status_2(ended: Ended, arguments: list[str], words: list[str]) -> None:
    assert ended(*words, NAME)[0] == 2


def test_without_an_image_it_is_wrong_usage(ended: Ended) -> None:
    status, _, error = ended("--init")
    assert status == 2
    assert "required: IMAGE" in error


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_told_so(ended: Ended, app: Run, seconds: str) -> None:
    status, _, error = ended("--time-limit", seconds, NAME, "true")
    assert status == 2
    wanted = f"--time-limit: '{seconds}': a time limit is more than 0 seconds, and finite"
    assert wanted in " ".join(error.split())


def test_what_it_does_can_be_committed_or_kept(
    ended: Ended, app: Run, arguments: list[str]
) -> None:
    script = "echo 1 > /tmp/made"
    assert ended("--commit", "made:1", NAME, "sh", "-c", script)[0] == 0
    assert ended("--commit", "made:2", NAME, "sh", "-c", f"{script}; exit 1")[0] == 1
    assert app("images", "made", "--format", "{{.Tag}}") == "1\n"
    assert ended("made:1", "cat", "/tmp/made")[1] == "1\n"  # noqa: S108
    assert ended("--keep", "--name", "kept", NAME, "sh", "-c", script)[0] == 0
    assert app("diff", "kept").splitlines() == ["C /tmp", "A /tmp/made"]
    (facts,) = json.loads(app("ls", "--json"))
    assert (facts["name"], facts["path"]) == ("kept", None)


def test_a_name_in_use_is_refused_and_stays(ended: Ended, app: Run, arguments: list[str]) -> None:
    app("create", "web")
    status, _, error = ended("--name", "web", NAME, "true")
    assert (status, error) == (125, "layerstore: mount name web is already in use\n")
    assert app("ls", "-q") == "web\n"


def test_standard_input_is_passed_on_only_with_i(app: Run, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run"]
    for words, got in ((["-i"], b"text"), ([], b"")):
        done = subprocess.run(
            [*command, *words, NAME, "cat"], input=b"text", capture_output=True, check=True
        )
        assert done.stdout == got


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
