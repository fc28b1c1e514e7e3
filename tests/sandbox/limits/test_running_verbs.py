"""The command's exec, pause, resume and stats: commands that run are found by their names."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.command import main
from tests.command.fixtures import Run
from tests.support.busybox import NAME
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def driver_name() -> str:
    return "overlay2"


@contextlib.contextmanager
def in_the_background(arguments: list[str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have a run of which the command has printed a line, for a `with` block."""
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n"
            wait_until(Path(arguments[1], "layerstore/running/web.json").exists)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


_SCRIPT = "cd /; trap 'exit 0' TERM; echo here; sleep 60 & wait"
_WAITING = ("-e", "A=1", "--name", "web", NAME, "sh", "-c", _SCRIPT)


def test_a_run_is_found_by_its_name(
    app: Run, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with in_the_background(arguments, *_WAITING) as process:
        record = Path(arguments[1], "layerstore/running/web.json")
        assert record.stat().st_mode & 0o777 == 0o600
        capfd.readouterr()
        assert main([*arguments, "exec", "-e", "B=2", "web", "sh", "-c", "echo $A$B; pwd"]) == 0
        assert capfd.readouterr().out == "12\n/srv\n"
        assert main([*arguments, "exec", "-u", "0", "web", "sh", "-c", "id -u; exit 7"]) == 7
        assert capfd.readouterr().out == "0\n"
        assert app("pause", "web") == "web\n"
        assert "it is paused" in app("exec", "web", "true", status=1)
        assert app("unpause", "web") == "web\n"
        assert app("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}") == "web 2\n"
        heading, row = app("stats", "--no-stream", "web").splitlines()
        assert heading.split()[:3] == ["NAME", "CPU", "%"]
        assert row.startswith("web ")
        (facts,) = json.loads(app("stats", "--json"))
        assert (facts["name"], facts["pids"]) == ("web", 2)
        process.kill()
        process.wait()
    wait_until(lambda: main([*arguments, "exec", "web", "true"]) == 1)  # the kernel ends it
    capfd.readouterr()
    assert "web is not running" in app("exec", "web", "true", status=1)
    assert app("stats", "--no-stream", "-a", "--format", "{{.Name}}") == ""
    assert not record.exists()
    app("rm", "web")


@pytest.mark.parametrize(("words", "status"), [(["nonsense"], 127), (["/etc/passwd"], 126)])
def test_exec_has_docker_s_exit_statuses(
    app: Run, arguments: list[str], words: list[str], status: int
) -> None:
    with in_the_background(arguments, *_WAITING):
        assert main([*arguments, "exec", "web", *words]) == status
    for verb in ("exec", "pause", "resume", "stats"):
        assert main([*arguments, verb, "web", *(["true"] if verb == "exec" else [])]) == 1


def test_a_kill_for_want_of_memory_is_told(
    app: Run, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    eater = ["sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=60M count=1"]
    status = main([*arguments, "run", "-m", "20m", "--pids-limit", "-1", NAME, *eater])
    told = capfd.readouterr().err
    if status == 125:
        assert "no controller memory" in told or "isn't" in told
        pytest.skip(told)
    assert (status, told) == (137, "layerstore: killed: out of its memory of 20 MiB\n")
    assert main([*arguments, "run", "--device-read-bps", "/none:1mb", NAME, "true"]) == 125
    assert "/none" in capfd.readouterr().err


def _record(**changed: object) -> bytes:
    """A record of a process that is there, and is no run."""
    facts = {
        "pid": os.getpid(), "start_time": 1, "keeper": os.getppid(), "keeper_start_time": 1,
        "namespace": os.stat("/proc/self/ns/pid").st_ino, "root": "/", "argv": ["sh"], "env": {},
        "workdir": "/", "user": "", "hostname": "",
    }  # fmt: skip
    return json.dumps({**facts, **changed}).encode()


def _start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_record_is_believed_in_nothing(app: Run, arguments: list[str]) -> None:
    place = Path(arguments[1], "layerstore/running")
    place.mkdir(exist_ok=True)
    for content in (
        b"",
        b"[]",
        b"\xff" * 100,
        b" " * (5 << 20),
        _record(pid=1),
        _record(pid=-1),
        _record(pid=1 << 80),
        _record(pid=2**31 - 1),
        _record(argv=[]),
        _record(),
        _record(start_time=_start_time(os.getpid())),
        _record(start_time=_start_time(os.getpid()), keeper_start_time=_start_time(os.getppid())),
        _record(namespace=1),
    ):
        (place / "web.json").write_bytes(content)
        assert app("pause", "web", status=1)
        assert app("exec", "web", "true", status=1)
        assert app("stats", "--no-stream", "--format", "{{.Name}}") == ""
    (place / "web.json").write_bytes(_record())
    app("stats", "--no-stream")
    assert os.listdir(place) == []


def test_a_record_is_no_link_and_a_name_no_path(app: Run, arguments: list[str]) -> None:
    place = Path(arguments[1], "layerstore/running")
    place.mkdir(exist_ok=True)
    (place / "web.json").symlink_to("/proc/kcore")
    app("exec", "web", "true", status=1)
    (place / "web.json").unlink()
    os.mkfifo(place / "web.json")
    app("exec", "web", "true", status=1)
    assert "invalid name" in app("exec", "../../etc", "true", status=1)
