"""examples/supervisor.py does what it says, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from tests.support.archives import as_tar, docker_archive
from tests.support.options import AmountOf
from tests.support.processes import ends
from tests.support.tars import Content, layer_tar

_SUPERVISOR = Path(__file__).parents[2] / "examples" / "supervisor.py"
_KILLED_CHILDREN = 3
"""Fewer in a run than a job is tried times in it."""
_BUSYBOX = Path("/bin/busybox")

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox"), pytest.mark.timeout(600)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image with a shell in it."""
    files: dict[str, Content] = {"bin": None, "bin/busybox": _BUSYBOX.read_bytes(), "tmp": None}
    files |= {f"bin/{name}": "busybox" for name in ("sh", "sleep", "echo", "cat", "yes")}
    path = tmp_path / "image.tar"
    path.write_bytes(as_tar(docker_archive([layer_tar(files, mode=0o755)], ["shell:1"])))
    return path


class Runs:
    """Runs of the supervisor on one root."""

    def __init__(self, root: Path, archive: Path, place: Path) -> None:
        self.root = root
        self.results = place / "results"
        self._jobs = place / "jobs"
        self._archive = archive

    def write(self, *jobs: dict[str, object]) -> None:
        self._jobs.write_text("".join(json.dumps(job) + "\n" for job in jobs))

    def start(self) -> subprocess.Popen[str]:
        paths = [str(path) for path in (self.root, self._archive, self._jobs, self.results)]
        return subprocess.Popen(
            [sys.executable, _SUPERVISOR, *paths, "--at-once=4"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def result(self, name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.results / f"{name}.json").read_bytes())
        return found

    def done(self) -> set[str]:
        return {path.stem for path in self.results.glob("[!.]*.json")}

    def nothing_is_left(self) -> None:
        with LayerStore(self.root) as store:
            assert store.mounts() == []
            store.drain()
            assert store.check() == []
        assert [p.path for p in mount_points() if p.path.startswith(f"{self.root}/")] == []


@pytest.fixture
def runs(root_dir: Path, archive: Path, tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(root_dir, archive, tmp_path)
    yield runs
    runs.nothing_is_left()


def job(name: str, script: str, **more: object) -> dict[str, object]:
    return {"name": name, "command": ["/bin/sh", "-c", script], **more}


def test_jobs_leave_their_changes_and_their_output(runs: Runs) -> None:
    runs.write(
        job("writes", "echo hello; echo 1 > /made; exit 3"),
        job("sees", "echo $WHAT; echo $$", env={"WHAT": "this", "PATH": "/bin"}),
        job("lasts", "sleep 60", time_limit=0.5),
    )
    process = runs.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "2 done, 1 timed out" in output
    writes = runs.result("writes")
    assert (writes["status"], writes["output"]) == (3, "hello\n")
    assert writes["changes"] == ["A /made"]
    assert b"made" in (runs.results / "writes.tar").read_bytes()
    assert str(runs.result("sees")["output"]).startswith("this\n")
    assert runs.result("lasts")["timed_out"] is True


def test_sigterm_ends_it_in_good_order(runs: Runs) -> None:
    runs.write(job("short", "echo 1"), *[job(f"long-{n}", "sleep 60") for n in range(8)])
    process = runs.start()
    _wait_for(lambda: runs.done() == {"short"}, process)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert runs.done() == {"short"}


def test_all_jobs_are_done_whatever_is_killed(runs: Runs, amount: AmountOf) -> None:
    killed_runs = amount("--killed-runs")
    wanted = amount("--supervised-jobs")
    dice = random.Random(20)  # noqa: S311 - the same numbers in each run
    names = [f"job{number}" for number in range(wanted)]
    jobs = [job(name, f"echo {name} > /made; cat /made") for name in names]
    # One job outlasts each run but the last: no run can be done before it is killed.
    lasts = f"sleep 6{os.getpid()}"
    for _ in range(killed_runs):
        runs.write(job("held", lasts, time_limit=600), *jobs)
        with _started(runs) as process:
            _kill_children(runs, dice, process, len(names))
            _wait_for_more(runs, dice, process, len(names))
            assert process.poll() is None, process.communicate()[0]
            process.kill()
            assert process.wait() == -signal.SIGKILL
    runs.write(*jobs)
    with _started(runs) as process:
        _kill_children(runs, dice, process, len(names))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert runs.done() == set(names)
    for name in names:
        result = runs.result(name)
        assert (result["status"], result["output"], result["changes"]) == (
            0,
            f"{name}\n",
            ["A /made"],
        )
    assert not [command for command in _commands() if lasts in command]


@contextlib.contextmanager
def _started(runs: Runs) -> Iterator[subprocess.Popen[str]]:
    process = runs.start()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _commands() -> Iterator[str]:
    """The command lines of all processes."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            yield b" ".join(words).decode(errors="replace")


def _kill_children(
    runs: Runs, dice: random.Random, process: subprocess.Popen[str], jobs: int
) -> None:
    for _ in range(_KILLED_CHILDREN):
        _wait_for_more(runs, dice, process, jobs)
        _wait_for(lambda: _kill_one_child(process.pid, dice), process)


def _kill_one_child(pid: int, dice: random.Random) -> bool:
    try:
        os.kill(dice.choice(children_of(pid)), signal.SIGKILL)
    except (IndexError, FileNotFoundError, ProcessLookupError):
        return False  # it has none yet, or has ended with all of them
    return True


def _wait_for_more(
    runs: Runs, dice: random.Random, process: subprocess.Popen[str], jobs: int
) -> None:
    """Wait until some more jobs are done, or all."""
    target = min(len(runs.done()) + dice.randint(1, 12), jobs)
    _wait_for(lambda: len(runs.done()) >= target, process)


def _wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Look until something is so or the process has ended; it ends in any case."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not what():
        assert time.monotonic() < deadline
        ends(process.pid, 0.01)
