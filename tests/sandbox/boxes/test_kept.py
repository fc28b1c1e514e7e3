"""What a sandbox's processes are kept by: one process for all, which loses nothing of any."""

from __future__ import annotations

import gc
import io
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import CommandNotRun, DriverError, LayerStore, Running, Sandbox, WorkerDied
from layerstore.drivers.system.proc_children import children_of
from tests.sandbox.boxes.looking import ENV, words
from tests.support.busybox import NAME, image_tar
from tests.support.processes import ends, status_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture(scope="module", autouse=True)
def warmed(store: LayerStore) -> None:
    """The store has, as long as it is open, its workers, and the process that keeps these."""
    with store.sandbox(NAME, env=ENV) as box:
        words(box, "true")


@pytest.fixture
def box(store: LayerStore) -> Iterator[Sandbox]:
    with store.sandbox(NAME, env=ENV) as made:
        words(made, "true")
        yield made


def keeper(box: Sandbox) -> int:
    return box._host.warm._process.pid


def kept(box: Sandbox) -> list[int]:
    """Return the processes that are kept: those that aren't the keeper's own."""
    own = os.readlink(f"/proc/{keeper(box)}/ns/pid")
    return [pid for pid in children_of(keeper(box)) if os.readlink(f"/proc/{pid}/ns/pid") != own]


def forker(box: Sandbox) -> int:
    """Return the one that forks them."""
    (found,) = set(children_of(keeper(box))) - set(kept(box))
    return found


def shell(box: Sandbox, line: str) -> Running:
    """Start a line of shell that prints a line as soon as it has begun."""
    running = box.start(
        ["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stdout.readline() == b"\n"
    return running


def test_each_command_is_one_process(box: Sandbox) -> None:
    (first,) = kept(box)
    with shell(box, "echo; exec sleep 60") as running:
        assert kept(box) == sorted([first, running.pid])
        wait_until(lambda: Path(f"/proc/{running.pid}/comm").read_text() == "sleep\n")
    assert kept(box) == [first]
    assert children_of(forker(box)) == []


@pytest.mark.parametrize("user", ["", "1000:1000"])
def test_the_first_process_may_do_nothing_and_those_that_join_what_a_container_may(
    store: LayerStore, user: str
) -> None:
    with store.sandbox(NAME, env=ENV, user=user) as box:
        joined = words(box, "grep -E 'Uid|CapBnd' /proc/self/status")
        (first,) = kept(box)
        status = status_of(first)
    assert status["Uid"].split() == status["Gid"].split() == ["0"] * 4
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["Groups"] == ""
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert joined == ["Uid:", *[user.partition(":")[0] or "0"] * 4, "CapBnd:", status["CapBnd"]]


def test_signals_go_to_it_and_the_third_kills(box: Sandbox) -> None:
    line = "trap 'echo usr >&2; exit 7' USR1; trap : INT; echo; while :; do sleep 0.01; done"
    with shell(box, line) as running:
        running.send_signal(signal.SIGUSR1)
        done = running.wait(timeout=60)
        assert (done.status, done.stderr) == (7, b"usr\n")
        running.send_signal(signal.SIGUSR1)  # to nobody
    with shell(box, line) as running:
        for _ in range(3):
            running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60).status == 128 + signal.SIGKILL


def test_a_signal_ends_a_command_however_early_it_comes(box: Sandbox) -> None:
    for _ in range(10):
        with box.start(["sleep", "60"], stdin=subprocess.DEVNULL) as running:
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60).status == 128 + signal.SIGTERM


def test_one_that_ends_in_time_keeps_no_other_waiting(box: Sandbox) -> None:
    with shell(box, "echo; exec sleep 60") as other:
        assert box.exec(["sleep", "60"], time_limit=0.2).timed_out
        assert box.exec(["sh", "-c", "exit 4"], time_limit=60).status == 4
        with pytest.raises(CommandNotRun):
            box.exec(["none"])
        os.kill(other.pid, 0)


def test_nothing_is_left_in_it_of_many(store: LayerStore, box: Sandbox) -> None:
    def one(number: int) -> int:
        if number % 3:
            return box.exec(["sh", "-c", f"exit {number}"]).status
        with store.sandbox(NAME, env=ENV) as other:
            return other.exec(["sh", "-c", f"exit {number}"]).status

    both = [keeper(box), forker(box)]
    open_before = [len(os.listdir(f"/proc/{pid}/fd")) for pid in both]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(30))) == list(range(30))
    gc.collect()
    wait_until(lambda: len(children_of(keeper(box))) == 2)
    for pid, before in zip(both, open_before, strict=True):
        wait_until(lambda pid=pid, before=before: len(os.listdir(f"/proc/{pid}/fd")) <= before)  # type: ignore[misc]


def test_what_this_process_has_of_a_command_ends_with_an_exec(box: Sandbox) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with shell(box, "echo; sleep 60"):
        opened = {int(fd) for fd in set(os.listdir("/proc/self/fd")) - before}
        links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in opened if is_open(fd)}
        assert any("pidfd" in link for link in links.values())
        assert [fd for fd in links if os.get_inheritable(fd)] == []


def is_open(fd: int) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_it_may_have_more_open_than_commands_may(box: Sandbox) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert resource.prlimit(keeper(box), resource.RLIMIT_NOFILE) == (hard, hard)
    assert words(box, "ulimit -S -n; ulimit -H -n") == [str(soft), str(hard)]


def test_what_forks_is_made_anew_and_nobody_waits_for_the_old_one(base_directory: Path) -> None:
    with LayerStore(base_directory / "forkless", durability="relaxed") as store:
        store.images.load(io.BytesIO(image_tar()))
        with store.sandbox(NAME, env=ENV) as box, shell(box, "echo; sleep 60") as running:
            dies = forker(box)
            before = len(os.listdir(f"/proc/{keeper(box)}/fd"))
            os.kill(dies, signal.SIGSTOP)
            with ThreadPoolExecutor(3) as threads:
                asked = [threads.submit(words, box, f"echo {number}") for number in range(3)]
                # More than ten for each, so that the third, too, is waited for.
                wait_until(lambda: len(os.listdir(f"/proc/{keeper(box)}/fd")) > before + 30)
                os.kill(dies, signal.SIGKILL)
                assert ends(dies, 60)
                assert [one.result(60) for one in asked] == [["0"], ["1"], ["2"]]
            with store.sandbox(NAME, env=ENV) as other:
                assert words(other, "echo another") == ["another"]
                assert forker(box) != dies
                assert len(kept(box)) == 3
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60).status == 128 + signal.SIGTERM


def test_its_death_ends_what_it_keeps(base_directory: Path) -> None:
    with LayerStore(base_directory / "dying", durability="relaxed") as store:
        store.images.load(io.BytesIO(image_tar()))
        with store.sandbox(NAME, env=ENV) as box, shell(box, "echo; sleep 60") as running:
            pids = children_of(keeper(box))
            os.kill(keeper(box), signal.SIGKILL)
            assert all(ends(pid, 60) for pid in pids)
            with pytest.raises(WorkerDied):
                running.wait(timeout=60)
            with pytest.raises((DriverError, WorkerDied)):
                box.exec(["true"])
