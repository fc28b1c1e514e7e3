"""What a run's processes may use together is bounded, and what they have used is told."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    InvalidArgument,
    InvalidName,
    LayerStore,
    RWLayer,
    Warm,
    WorkerDied,
    mount_points,
    start,
)
from layerstore.drivers.cgroup.hierarchies import hierarchies
from layerstore.drivers.cgroup.place import OURS, base_of, make_beneath, remove_above
from tests.sandbox.conftest import Runs, lines, piped
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
_MIB = 1 << 20
_SPIN = "while :; do :; done"


def groups_of(keeper: int) -> list[Path]:
    """The groups that a process beside a command has made, wherever it may."""
    bases = {base for tree in hierarchies().values() if (base := base_of(tree)) is not None}
    return [group for base in bases for group in Path(base).glob(f"{OURS}/run-*-{keeper}-*")]


@pytest.fixture
def group() -> Path:
    """A place that groups can be made in, which some machines have none of."""
    found = hierarchies()
    if "" not in found or base_of(found[""]) is None:
        pytest.skip("no cgroup v2 that this process may divide up")
    return Path(base_of(found[""]) or "")


@pytest.fixture(autouse=True)
def kept_by_somebody(request: pytest.FixtureRequest) -> None:
    wanted = request.node.get_closest_marker("controller")
    trees = hierarchies()
    for name in wanted.args if wanted is not None else ():
        tree = trees.get(name, trees.get(""))
        base = base_of(tree) if tree is not None else None
        if base is None:
            pytest.skip(f"no control group with {name} that this process may divide up")
        if name not in trees and name not in Path(base, "cgroup.controllers").read_text().split():
            pytest.skip(f"{base} has no controller {name}")


@pytest.mark.controller("memory")
@pytest.mark.parametrize(
    "line",
    [
        "exec dd if=/dev/zero of=/dev/null bs=60M count=1",
        # What lies in a tmpfs is memory, too.
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; exit $?",
    ],
)
def test_who_wants_more_memory_than_there_may_be_is_killed_and_that_is_told(
    sh: Runs, line: str
) -> None:
    done = sh(line, memory="20m")
    assert (done.status, done.oom_killed) == (137, True)
    assert done.peak_memory is not None
    assert 15 * _MIB < done.peak_memory <= 20 * _MIB


def test_another_kill_is_no_lack_of_memory(sh: Runs) -> None:
    done = sh("sh -c 'kill -9 $$'; exit $?")
    assert (done.status, done.oom_killed) == (137, False)


@pytest.mark.controller("memory")
def test_what_it_has_used_is_told_of_all_of_its_processes(sh: Runs) -> None:
    done = sh("for i in 1 2 3; do dd if=/dev/zero of=/dev/null bs=15M count=4 & done; wait")
    assert done.peak_memory is not None
    assert done.cpu_seconds is not None
    assert 15 * _MIB < done.peak_memory < 200 * _MIB
    assert 0 < done.cpu_seconds < 10


@pytest.mark.controller("pids")
def test_a_fork_bomb_is_kept_small(sh: Runs) -> None:
    bomb = "b() { b | b & }; b; b; sleep 0.2; ls -d /proc/[0-9]* | wc -l"
    done = sh(f"({bomb}) 2>/dev/null; exit 0", pids=20, time_limit=10)
    assert done.status == 0
    begun = sh("i=0; while [ $i -lt 40 ]; do sleep 9 & i=$((i+1)); done", pids=20)
    assert begun.status != 0
    assert b"can't fork" in (begun.stderr or b"")


@pytest.mark.controller("cpu")
def test_cpu_time_is_rationed(sh: Runs) -> None:
    done = sh(f"{_SPIN} & {_SPIN}", cpus=0.1, time_limit=1.5)
    assert done.timed_out
    assert done.cpu_seconds is not None
    assert done.cpu_seconds < 1, "what makes the container is in it, and may take a third"


@pytest.mark.controller("io")
def test_what_is_written_to_the_disk_is_slowed_down(store: LayerStore, sh: Runs) -> None:
    if os.major(os.stat(store.root).st_dev) == 0:
        pytest.skip("the store lies on no block device")
    begun = time.monotonic()
    writing = "dd if=/dev/zero of=/f bs=64k count=16 oflag=direct"
    assert sh(writing, io={"write_bps": "2m"}).status == 0
    assert time.monotonic() - begun > 0.4


def test_bounds_of_a_device_want_one(sh: Runs) -> None:
    with pytest.raises(DriverError, match="it lies on no device"):
        sh("true", io={"/proc": {"read_bps": 1 << 20}})
    with pytest.raises(DriverError, match="/nowhere"):
        sh("true", io={"/nowhere": {"read_bps": 1 << 20}})


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "1m"},
        {"memory": 0},
        {"memory": "lots"},
        {"memory_swap": "1g"},
        {"memory": "64m", "memory_swap": "32m"},
        {"cpus": 0.001},
        {"cpus": float("nan")},
        {"pids": 0},
        {"io": {"bps": 1}},
        {"io": {"sda": {"read_bps": 1}}},
        {"io": {"read_bps": 0}},
    ],
)
def test_what_there_cannot_be_is_refused_before_anything_is_made(
    sh: Runs, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidArgument):
        sh("touch /new", **options)


def test_nothing_is_left_of_many_at_once(group: Path, store: LayerStore) -> None:
    def one(number: int) -> list[Path]:
        with (
            store.images.create(f"many-{number}", NAME, init=mount_points) as rw,
            rw.mounted() as path,
            piped(path, "echo; read x") as running,
        ):
            assert running.stdout is not None
            running.stdout.readline()
            assert running.wait().status == 1
            return groups_of(running.pid)

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(one, range(12))) == [[]] * 12


def test_a_run_that_cannot_be_made_leaves_no_group(group: Path, rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, "true", user="nobody-knows") as running:
        with pytest.raises(InvalidName):
            running.wait()
        assert groups_of(running.pid) == []
    with rw.mounted() as path, piped(path, "true", io={"/proc": {"read_bps": 1}}) as running:
        with pytest.raises(DriverError):
            running.wait()
        assert groups_of(running.pid) == []


@pytest.mark.parametrize("forked", [False, True])
def test_what_a_killed_process_has_left_goes_with_the_next_run(
    group: Path, rw: RWLayer, forked: bool
) -> None:
    with rw.mounted() as path, Warm() if forked else nullcontext() as warm:
        start(path, ["true"], warm=warm).wait()  # the first one looks for what others left
        words = ["sh", "-c", "trap '' TERM; echo here; sleep 60"]
        running = start(path, words, stdout=subprocess.PIPE, env={"PATH": "/bin"}, warm=warm)
        assert running.stdout is not None
        assert running.stdout.readline() == b"here\n"
        assert groups_of(running.pid)
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            running.wait()
        start(path, ["true"], warm=warm).wait()
    assert groups_of(running.pid) == []


def test_groups_of_others_stay(group: Path, sh: Runs) -> None:
    other = group / OURS / f"run-other-{os.getpid()}"
    other.mkdir(parents=True)
    try:
        sh("true")
        assert other.is_dir()
    finally:
        other.rmdir()
        remove_above(str(group))


def test_who_makes_a_group_while_others_end_theirs_gets_one(group: Path) -> None:
    """The last that ends removes what all have above them, which may be in the middle of going."""
    over = threading.Event()

    def come_and_go(number: int) -> int:
        made = 0
        while not over.is_set():
            Path(make_beneath(str(group), f"run-1-{number}-{made}")).rmdir()
            remove_above(str(group))
            made += 1
        return made

    with ThreadPoolExecutor(4) as threads:
        coming = [threads.submit(come_and_go, number) for number in range(4)]
        over.wait(1.5)
        over.set()
        assert all(each.result() > 1 for each in coming)


def test_the_command_sees_and_reaches_no_group(group: Path, sh: Runs) -> None:
    told = lines(sh("cat /proc/self/cgroup /proc/1/cgroup"))
    assert {line.rpartition(":")[2] for line in told} <= {"/", "/../"}
    assert not [line for line in told if OURS in line]
    assert lines(sh("ls -A /sys/fs/cgroup")) == []
    for line in (
        "mkdir /sys/fs/cgroup/x",
        "mkdir /m && mount -t cgroup2 none /m",
        "mount -t cgroup -o memory none /proc",
        "unshare -C true",
        "unshare -m true",
    ):
        assert sh(line).status != 0, line
