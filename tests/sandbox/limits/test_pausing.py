"""A running command is looked at, stands still, and goes on."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from layerstore import NotRunning, RWLayer, run
from layerstore.drivers.cgroup.hierarchies import hierarchies
from layerstore.drivers.cgroup.place import base_of
from tests.sandbox.conftest import piped
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
_COUNTING = "i=0; while :; do i=$((i+1)); echo $i; done"


@pytest.fixture(autouse=True)
def a_freezer() -> None:
    trees = hierarchies()
    tree = trees.get("", trees.get("freezer"))
    if tree is None or base_of(tree) is None:
        pytest.skip("no control group that this process may divide up")


def test_a_paused_command_does_nothing_and_goes_on_when_it_is_resumed(rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, f"{_COUNTING} > /count") as running:
        running.pause()
        spent = running.stats().cpu_seconds
        time.sleep(0.05)
        assert running.stats().cpu_seconds == spent
        running.pause()
        running.resume()
        running.resume()
        while running.stats().cpu_seconds == spent:
            pass


def test_what_a_paused_command_writes_to_is_forked_at_one_moment(rw: RWLayer) -> None:
    script = "i=0; while :; do i=$((i+1)); echo $i > /first; echo $i > /second; done"
    with rw.mounted() as path, piped(path, script) as running:
        wait_until(lambda: os.path.exists(f"{path}/second"))
        for number in range(3):
            with running.paused():
                states = [read_both(path)]
                one = rw.fork(f"fork-{number}")
                states.append(read_both(path))
            with one.mounted() as forked:
                states.append(read_both(forked))
            assert len(set(states)) == 1
        before = read_both(path)
        wait_until(lambda: read_both(path) != before)
        running.pause()
        with running.paused():
            before = read_both(path)
        assert read_both(path) == before
        running.resume()


def read_both(path: str) -> tuple[bytes, ...]:
    return tuple(Path(path, name).read_bytes() for name in ("first", "second"))


@pytest.mark.parametrize("end", ["kill", "time limit"])
def test_a_paused_command_can_be_killed(rw: RWLayer, end: str) -> None:
    options = {"time_limit": 0.3} if end == "time limit" else {}
    with rw.mounted() as path, piped(path, _COUNTING, **options) as running:
        running.pause()
        if end == "kill":
            running.kill()
        assert running.wait(timeout=10).timed_out == (end != "kill")


def test_statistics_tell_of_all_processes(rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, "sleep 60 & sleep 60 & echo; wait", pids=9) as running:
        assert running.stdout is not None
        running.stdout.readline()
        found = running.stats()
        assert (found.pids, found.pids_limit) == (3, 9)
        assert found.cpu_seconds


def test_who_has_ended_is_neither_paused_nor_looked_at(rw: RWLayer) -> None:
    with rw.mounted() as path:
        with piped(path, "echo") as running:
            running.wait()
            for ask in (running.pause, running.resume, running.stats):
                with pytest.raises(NotRunning):
                    ask()
        with piped(path, "echo", workdir="/proc/nothing") as never, pytest.raises(NotRunning):
            never.stats()


def test_any_number_of_threads_may_look(rw: RWLayer) -> None:
    found: list[object] = []
    with rw.mounted() as path, piped(path, "sleep 60") as running:
        threads = [
            threading.Thread(target=lambda: found.append(running.stats().pids)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [1] * 8


def test_a_run_in_the_room_of_another_counts_for_itself(rw: RWLayer) -> None:
    first = run(rw, ["/bin/sh", "-c", "i=0; while [ $i -lt 90000 ]; do i=$((i+1)); done"])
    second = run(rw, ["/bin/true"])
    assert first.cpu_seconds is not None
    assert second.cpu_seconds is not None
    assert second.cpu_seconds < first.cpu_seconds
