"""The trash is emptied behind everybody's back, but for those who wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore.actors import messages as m
from layerstore.actors.runtime.calls import call
from layerstore.actors.runtime.ref import Ref, Unwatched
from layerstore.actors.watching.trace import Tracer
from layerstore.actors.workers.reaper import Reaper
from layerstore.drivers import work
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.root.trash import FEW_NAMES, prepare_trash, trash_path
from layerstore.drivers.system.priority import Priority
from layerstore.drivers.work import SweepTrash
from layerstore.drivers.worker.sweeping_hands import SweepingHands
from tests.support.waiting import wait_until

NORMAL = os.getpriority(os.PRIO_PROCESS, 0)


class Site:
    """A root with a trash, hands to empty it, and whether somebody waits."""

    def __init__(self, root: Path) -> None:
        self.trash = Path(trash_path(str(root)))
        prepare_trash(str(self.trash))
        self.awaited = False
        config = DiskConfig(root=str(root), driver="vfs", durable=False, limits=Limits())
        self.hands = SweepingHands(make_disk(config), config, is_awaited=lambda: self.awaited)

    def throw_away(self, names: int) -> None:
        layer = self.trash / "layer"
        layer.mkdir()
        for number in range(names):
            (layer / f"{number}").touch()

    def sweep(self) -> int | None:
        """Empty the trash; returns the niceness of the child afterwards, if there is one."""
        assert self.hands.perform(SweepTrash(), ()) == 1
        assert list(self.trash.iterdir()) == []
        child = self.hands.child_pid
        return os.getpriority(os.PRIO_PROCESS, child) if child is not None else None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.hands.close()


@pytest.mark.root
def test_a_sweep_gives_way_to_all_other_work_unless_somebody_waits_for_it(site: Site) -> None:
    for awaited, nice in ((False, 19), (True, NORMAL), (False, 19)):
        site.awaited = awaited
        site.throw_away(FEW_NAMES + 1)
        assert site.sweep() == nice


@pytest.mark.root
def test_a_sweep_that_somebody_comes_to_wait_for_hurries_with_all_its_threads(site: Site) -> None:
    site.throw_away(FEW_NAMES + 1)
    assert site.sweep() == 19
    site.hands.hurry()
    child = site.hands.child_pid
    assert child is not None
    assert os.getpriority(os.PRIO_PROCESS, child) == NORMAL


def test_who_waits_is_not_kept_waiting_for_a_child_to_start(site: Site) -> None:
    site.awaited = True
    site.throw_away(FEW_NAMES + 1)
    assert site.sweep() is None
    site.awaited = False
    site.throw_away(FEW_NAMES + 1)
    assert site.sweep() is not None


THREADS = """
import sys, threading
held = threading.Event()
for _ in range(3):
    threading.Thread(target=held.wait, daemon=True).start()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def threaded() -> Iterator[int]:
    """Return the process ID of a program with four threads."""
    with subprocess.Popen(
        [sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        yield process.pid


def niceness(pid: int) -> list[int]:
    threads = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    return [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]


@pytest.mark.root
def test_all_threads_of_a_process_give_way_and_come_back(threaded: int) -> None:
    priority = Priority(threaded)
    priority.restore()  # from nothing
    assert niceness(threaded) == [NORMAL] * 4
    for _ in range(2):
        priority.lower()
        assert niceness(threaded) == [19] * 4
        priority.restore()
        assert niceness(threaded) == [NORMAL] * 4


WITHOUT_PRIVILEGES = """
import os, subprocess, sys
from layerstore.drivers.confine import capabilities
from layerstore.drivers.system.priority import Priority
capabilities.bound(())
capabilities.keep(())
with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
    priority = Priority(process.pid)
    for _ in range(2):
        priority.lower()
        priority.restore()
        print(os.getpriority(os.PRIO_PROCESS, process.pid))
    process.communicate(b"\\n")
"""


@pytest.mark.root
def test_what_could_not_be_taken_back_is_less() -> None:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_PRIVILEGES], check=True, stdout=subprocess.PIPE
    )
    assert told.stdout.split() == [b"10", b"10"]


def test_a_process_that_has_ended_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    priority = Priority(process.pid)
    priority.lower()
    priority.restore()


class Slow:
    """Hands whose first sweep ends once it is to hurry."""

    retries = 0
    child_pid = None
    takes_many = False

    def __init__(self, is_awaited: Callable[[], bool]) -> None:
        self._is_awaited = is_awaited
        self.sweeping = threading.Event()
        self.hurried = threading.Event()
        self.seen: list[bool] = []

    def perform(self, job: work.Job, descriptors: work.Descriptors) -> int:
        assert isinstance(job, SweepTrash)
        assert not descriptors
        self.seen.append(self._is_awaited())
        self.sweeping.set()
        assert self.hurried.wait(30)
        self.seen.append(self._is_awaited())
        return 1

    def hurry(self) -> None:
        self.hurried.set()

    def close(self) -> None:
        self.hurried.set()


def test_whoever_asks_for_an_empty_trash_has_the_sweep_under_way_hurry() -> None:
    made: list[Slow] = []

    def make(is_awaited: Callable[[], bool]) -> Slow:
        made.append(Slow(is_awaited))
        return made[0]

    reaper: Ref = Reaper.launch("reaper", Tracer(10), Unwatched("nowhere"), make_hands=make)
    reaper.tell(m.Sweep(), None, "test")
    try:
        wait_until(lambda: bool(made) and made[0].sweeping.is_set())
        (hands,) = made
        assert call(reaper, m.Drain(), 30) == 1
        assert hands.seen == [False, True, True, True]
        reaper.tell(m.Sweep(), None, "test")
        wait_until(lambda: len(hands.seen) > 5)
        assert hands.seen[4:] == [False, False]
    finally:
        reaper.stop()
    assert reaper.join(30)
