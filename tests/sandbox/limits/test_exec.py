"""A second command in a running one's container: what it is, may do, and how it ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from layerstore import CommandNotRun, DriverError, NotRunning, Running, RWLayer
from tests.sandbox.limits.conftest import First

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
_FACTS = "id -u; pwd; echo $A $B $HOSTNAME; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status"


def sh(running: Running, line: str, **options: object) -> str:
    """Return what a line of shell prints, as a second command."""
    null = subprocess.DEVNULL
    streams: dict[str, object] = {"stdin": null, "stdout": subprocess.PIPE, "stderr": null}
    with running.exec(["/bin/sh", "-c", line], **{**streams, **options}) as second:  # type: ignore[arg-type]
        done = second.wait(timeout=30)
    assert (done.status, done.stdout is None) == (0, False), done
    return (done.stdout or b"").decode()


def test_it_is_where_the_first_one_is_with_no_more_privileges(first: First, rw: RWLayer) -> None:
    with first(rw, f"({_FACTS}) > /told") as running:
        with rw.mounted() as path:
            told = Path(path, "told").read_text()
        assert sh(running, _FACTS, env={"B": ""}) == told
        kinds = "for k in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$k; done"
        assert sh(running, kinds) == sh(running, kinds.replace("self", "1"))
        assert "sleep 60" in sh(running, "ps")


def test_variables_directory_and_user_are_its_own_where_they_are_given(
    first: First, rw: RWLayer
) -> None:
    with first(rw) as running:
        assert sh(running, "echo $A $B", env={"A": "2", "B": "3"}) == "2 3\n"
        assert sh(running, "pwd", workdir="/etc") == "/etc\n"
        assert sh(running, "id -u; id -g", user="7:8") == "7\n8\n"
        caps = sh(running, "grep CapEff /proc/self/status", user="7")
        assert caps.split() == ["CapEff:", "0" * 16]


def test_its_exit_status_is_its_own_and_it_ends_alone(first: First, rw: RWLayer) -> None:
    with first(rw) as running:
        for line, status in (("exit 7", 7), ("kill -9 $$", 137)):
            with running.exec(["/bin/sh", "-c", line]) as second:
                assert second.wait(timeout=30).status == status
        for argv, status in ((["nonsense"], 127), (["/etc/passwd"], 126), (["/none"], 127)):
            with running.exec(argv) as second, pytest.raises(CommandNotRun) as refused:
                second.wait(timeout=30)
            assert refused.value.status == status
        with running.exec(["/bin/sleep", "60"], time_limit=0.2) as second:
            assert second.wait(timeout=30).timed_out
        with running.exec(["/bin/sleep", "60"]) as second:
            second.kill()
            assert second.wait(timeout=30).status == 137
        assert sh(running, "echo still here") == "still here\n"


def test_it_ends_with_the_first_one(first: First, rw: RWLayer) -> None:
    with first(rw) as running:
        second = running.exec(
            ["/bin/sh", "-c", "trap '' TERM; echo; sleep 60"], stdout=subprocess.PIPE
        )
        assert second.stdout is not None
        assert second.stdout.readline() == b"\n"
        running.kill()
        assert running.wait(timeout=30).status == 137
        assert second.wait(timeout=30).status == 137
        with pytest.raises(NotRunning):
            second.exec(["/bin/true"])


def test_a_directory_is_not_made_for_it(first: First, rw: RWLayer) -> None:
    with first(rw) as running:
        with running.exec(["/bin/true"], workdir="/none") as second, pytest.raises(DriverError):
            second.wait(timeout=30)
        assert sh(running, "ls -d /none || echo none") == "none\n"


def test_bounds_hold_for_it_too(first: First, rw: RWLayer) -> None:
    with first(rw, memory="32m") as running:
        if running.stats().memory_limit != 32 << 20:
            pytest.skip("no control group with memory")
        with running.exec(
            ["/bin/sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=60M count=1"]
        ) as big:
            done = big.wait(timeout=30)
        assert (done.status, done.oom_killed) == (137, True)
        assert running.stats().pids == 1
        with running.exec(["/bin/true"]) as small:
            assert not small.wait(timeout=30).oom_killed


def test_nobody_joins_what_is_paused(first: First, rw: RWLayer) -> None:
    with first(rw) as running:
        running.pause()
        with running.exec(["/bin/true"]) as second, pytest.raises(DriverError, match="resume"):
            second.wait(timeout=30)
        running.resume()
        assert sh(running, "echo on") == "on\n"


def test_it_can_have_a_terminal(first: First, rw: RWLayer) -> None:
    ours, theirs = os.openpty()
    with first(rw) as running:
        assert "/dev/pts/" in sh(running, "tty", terminal=True, stdin=theirs)
    os.close(ours)
    os.close(theirs)


def test_a_second_one_can_be_joined_as_the_first(first: First, rw: RWLayer) -> None:
    with first(rw) as running, running.exec(["/bin/sleep", "60"]) as second:
        assert sh(second, "echo $A") == "1\n"
        assert second.stats().pids == running.stats().pids
