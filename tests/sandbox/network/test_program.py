"""The program that packets pass: who it is, what of it stays, and what becomes of its failures."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from layerstore import DriverError, WorkerDied
from layerstore.drivers.system.proc_children import children_of
from layerstore.sandbox import publishing
from tests.sandbox.conftest import lines
from tests.sandbox.network.conftest import PYTHON, Starts
from tests.support.processes import ends, kill

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox", PYTHON, "ip")]

WAITING = "print(flush=True); import time; time.sleep(60)"


def its_pid(running_pid: int, program: str) -> int:
    """Return the process ID of the program beside a command."""
    (pid,) = [
        pid
        for pid in children_of(running_pid)
        if Path(f"/proc/{pid}/comm").read_text().startswith(program[:3])  # passt.avx2 is pasta
    ]
    return pid


@pytest.mark.parametrize(("id_map", "user"), [("", 65534), ("0:100000:65536", 100000)])
def test_it_is_nobody_and_ends_with_the_command(
    starts: Starts, program: str, id_map: str, user: int
) -> None:
    with starts(WAITING, id_map=id_map) as running:
        assert running.stdout is not None
        running.stdout.readline()
        pid = its_pid(running.pid, program)
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        assert status["Uid"].split() == status["Gid"].split() == [str(user)] * 4
        assert (status["Groups"].strip(), status["NoNewPrivs"], status["Seccomp"]) == ("", "1", "2")
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
        assert os.listdir(f"/proc/{pid}/root/") in (["etc", "run"], ["run", "etc"], [])
    assert ends(pid, 0)


@pytest.mark.parametrize("how", ["kill", "process beside"])
def test_it_ends_whoever_is_killed(starts: Starts, program: str, how: str) -> None:
    with starts(WAITING) as running:
        assert running.stdout is not None
        running.stdout.readline()
        pid = its_pid(running.pid, program)
        if how == "kill":
            running.kill()
            assert running.wait().status == 128 + signal.SIGKILL
        else:
            kill(running.pid)
            with pytest.raises(WorkerDied):
                running.wait()
        assert ends(pid, 60)


def test_where_it_ends_first_the_command_goes_on_and_its_end_is_told(
    starts: Starts, program: str
) -> None:
    with starts("print(flush=True); import signal; signal.pause()") as running:
        assert running.stdout is not None
        running.stdout.readline()
        pid = its_pid(running.pid, program)
        kill(pid)
        assert ends(pid, 60)
        with pytest.raises(TimeoutError):
            running.wait(0.01)
        running.kill()
        assert running.wait().network_lost.startswith(f"{program} ended before the command did")


def test_that_it_fails_is_told_in_its_own_words(
    starts: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "slirp4netns"
    failing.write_text("#!/bin/sh\necho cannot find a way out >&2\nexit 1\n")
    failing.chmod(0o755)
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(0o755)
    monkeypatch.setattr(publishing, "find_program", lambda: str(failing))
    with (
        starts("") as running,
        pytest.raises(DriverError, match=r"by slirp4netns: .*before it was ready.*a way out"),
    ):
        running.wait()
    failing.unlink()
    with (
        starts("") as running,
        pytest.raises(DriverError, match="FileNotFoundError"),
    ):
        running.wait()


def test_low_ports_ping_and_own_names_are_everybody_s(starts: Starts, program: str) -> None:
    script = """if True:
    import socket
    socket.create_server(("", 80))
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    print(socket.gethostbyname(socket.gethostname()))
    """
    assert lines(starts(script, user="1000:1000", hostname="box").wait()) == ["10.0.2.100"]


def test_a_second_command_makes_no_raw_packets_either(starts: Starts, program: str) -> None:
    trying = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)"
    with starts(WAITING) as running:
        with running.exec([PYTHON, "-c", trying], stderr=subprocess.PIPE) as second:
            done = second.wait()
        assert done.stderr is not None
        assert (done.status, b"PermissionError" in done.stderr) == (1, True)
