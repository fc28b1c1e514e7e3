"""What a warm process forks is as what is spawned, and nothing is left of either."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import DriverError, RWLayer, Warm, WorkerDied, run, start
from layerstore.drivers.system.proc_children import children_of
from tests.support.processes import ends, kill

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
SHELL = ["/bin/sh", "-c"]


@pytest.fixture
def warm() -> Iterator[Warm]:
    with Warm() as process:
        yield process


@pytest.fixture
def root(rw: RWLayer) -> Iterator[str]:
    with rw.mounted() as path:
        yield path


def pid_of(warm: Warm) -> int:
    return warm._process.pid


def descriptors() -> set[str]:
    """The sockets, pipes and the like of this process; what is on a disk is others'."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {name for name in found if not name.startswith("/")}


def test_streams_are_those_of_a_popen(root: str, warm: Warm) -> None:
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with tempfile.TemporaryFile() as file:
        words = [*SHELL, "cat; echo error >&2; exit 3"]
        started = start(root, words, stdin=pipe, stdout=pipe, stderr=file, warm=warm)
        finished = started.wait(given=b"x" * (1 << 20))
        file.seek(0)
        assert (finished.status, finished.stdout, finished.stderr) == (3, b"x" * (1 << 20), None)
        assert file.read() == b"error\n"
    both = subprocess.STDOUT
    started = start(root, words, stdin=null, stdout=pipe, stderr=both, warm=warm)
    assert started.wait().stdout == b"error\n"


def test_a_command_that_reads_nothing_is_given_what_the_pipe_takes(root: str, warm: Warm) -> None:
    words = [*SHELL, "exec <&-; exit 0"]
    with start(root, words, stdin=subprocess.PIPE, warm=warm) as running:
        assert running.wait(given=b"x" * (1 << 20)).status == 0


def test_waiting_has_a_timeout_and_loses_nothing(root: str, warm: Warm) -> None:
    script = "echo one; read line; until [ -e /go ]; do sleep 0.01; done; echo $line"
    words = [*SHELL, script]
    pipe = subprocess.PIPE
    with start(root, words, stdin=pipe, stdout=pipe, env={"PATH": "/bin"}, warm=warm) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"one\n"
        with pytest.raises(TimeoutError):
            running.wait(0.01, given=b"two\n")
        Path(root, "go").touch()
        assert running.wait().stdout == b"two\n"


def test_the_command_has_no_descriptor_but_its_streams(root: str, warm: Warm) -> None:
    words = [*SHELL, "echo /proc/self/fd/*"]
    others = [start(root, [*SHELL, "read x"], stdin=subprocess.PIPE, warm=warm) for _ in range(3)]
    with start(
        root,
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PATH": "/bin"},
        warm=warm,
    ) as running:
        # The fourth is of the shell's own, for the directory that it lists.
        assert (
            running.wait().stdout
            == b" ".join(b"/proc/self/fd/%d" % number for number in range(4)) + b"\n"
        )
    for other in others:
        assert other.wait(given=b"").status == 1


def test_who_kills_it_kills_all_of_it(root: str, warm: Warm) -> None:
    words = [*SHELL, "echo; sleep 60 & exec sleep 60"]
    with start(root, words, stdout=subprocess.PIPE, env={"PATH": "/bin"}, warm=warm) as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
        assert os.getsid(running.pid) == running.pid
    assert ends(first, 60)
    assert children_of(pid_of(warm)) == []


def test_the_death_of_the_process_beside_is_told(root: str, warm: Warm) -> None:
    words = [*SHELL, "echo; exec sleep 60"]
    with start(root, words, stdout=subprocess.PIPE, env={"PATH": "/bin"}, warm=warm) as running:
        assert running.stdout is not None
        running.stdout.readline()
        kill(running.pid)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            running.wait()


def test_a_run_goes_on_without_the_warm_process(rw: RWLayer, root: str) -> None:
    with Warm() as warm:
        words = [*SHELL, "echo; read line; exit 5"]
        pipe = subprocess.PIPE
        with start(root, words, stdin=pipe, stdout=pipe, warm=warm) as running:
            assert running.stdout is not None
            running.stdout.readline()
            os.kill(pid_of(warm), signal.SIGKILL)
            assert running.wait(given=b"\n").status == 5
        with pytest.raises(DriverError, match="spawn"):
            run(rw, ["true"], warm=warm)
    with pytest.raises(DriverError, match="spawn"):
        run(rw, ["true"], warm=warm)


def test_many_at_once_leave_nothing(root: str, warm: Warm) -> None:
    gc.collect()
    before = descriptors()

    def one(number: int) -> int:
        return start(root, [*SHELL, f"exit {number}"], warm=warm).wait().status

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(one, range(64))) == list(range(64))
    gc.collect()
    assert descriptors() == before
    assert children_of(pid_of(warm)) == []
    assert len(os.listdir(f"/proc/{pid_of(warm)}/fd")) == 6  # streams, socket, epoll, a namespace
