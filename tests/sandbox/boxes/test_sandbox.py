"""A sandbox is one object: commands, files and states of it, and its end."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import (
    ChangeKind,
    CommandNotRun,
    DriverError,
    ImageDoesNotExist,
    InvalidArgument,
    InvalidName,
    LayerStore,
    MountNameConflict,
    OutputExceeded,
    Sandbox,
)
from layerstore.drivers.system.mountinfo import mount_points as mounts
from layerstore.drivers.system.proc_children import children_of
from tests.sandbox.boxes.looking import ENV, noted, words
from tests.support.busybox import NAME
from tests.support.processes import ends

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture(scope="module", autouse=True)
def warmed(store: LayerStore) -> None:
    """The store has, as long as it is open, its workers, and the process that forks for these."""
    with store.sandbox(NAME) as box:
        store.images.remove(box.commit("warm:1").id)


@pytest.fixture
def box(store: LayerStore) -> Iterator[Sandbox]:
    with store.sandbox(NAME, env=ENV) as made:
        yield made


def test_commands_share_a_container_that_outlives_them(box: Sandbox) -> None:
    assert words(box, "echo $$ > /dev/shm/one; hostname") == [box.name]
    # Its parent is beyond the container, its own number isn't the first.
    assert int(*words(box, "cat /dev/shm/one")) > 1
    line = "cat; echo error >&2; exit 3"
    done = box.exec(["sh", "-c", line], given=b"given")
    assert (done.status, done.stdout, done.stderr) == (3, b"given", b"error\n")


def test_what_a_command_is_told_is_added_to_what_the_sandbox_has(store: LayerStore) -> None:
    env = {**ENV, "ONE": "1", "TWO": "2"}
    with store.sandbox(NAME, env=env, workdir="/srv", user="1:1") as box:
        line = "echo $ONE $TWO $(pwd) $(id -u)"
        assert words(box, "echo $ONE $TWO") == ["1", "2"]
        box.write_file("made/here", b"")
        done = box.exec(["sh", "-c", line], env={"TWO": "two"}, workdir="made", user="0")
        assert done.stdout == b"1 two /srv/made 0\n"
        box.exec(["chmod", "777", "/srv"], user="0")
        assert words(box, line) == ["1", "2", "/srv", "1"]


def test_orphans_are_reaped_and_end_with_the_sandbox(store: LayerStore) -> None:
    with store.sandbox(NAME, env=ENV) as box:
        words(box, "sleep 60 >/dev/null 2>&1 & (exec sleep 0 &); exit 0")
        with box._container.member() as member:
            first = member.started.pid
        while len(children_of(first)) != 1:
            pass  # until the short one has been reaped
    assert ends(first, 60)


def test_streams_may_be_used_while_it_runs(box: Sandbox) -> None:
    pipe = subprocess.PIPE
    with box.start(["cat"], stdin=pipe, stdout=pipe) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"line\n")
        running.stdin.flush()
        assert running.stdout.readline() == b"line\n"
        assert running.wait(given=b"rest").stdout == b"rest"


def test_a_command_has_its_time_and_the_sandbox_goes_on(box: Sandbox) -> None:
    done = box.exec(["sleep", "60"], time_limit=0.05)
    assert (done.timed_out, done.status) == (True, 124)
    assert words(box, "echo still here") == ["still", "here"]


def test_too_much_output_ends_a_command(box: Sandbox) -> None:
    with pytest.raises(OutputExceeded, match="most_output") as told:
        box.exec(["sh", "-c", "echo no >&2; while :; do echo yes; done"], most_output=1 << 16)
    assert told.value.stdout == b"yes\n" * (1 << 14)
    assert told.value.stderr == b"no\n"
    assert box.exec(["sh", "-c", "printf 1234"], most_output=4).stdout == b"1234"


def test_what_can_not_be_run_is_told(box: Sandbox) -> None:
    with pytest.raises(CommandNotRun):
        box.exec(["none"])
    with pytest.raises(InvalidName, match="nobody-there"):
        box.exec(["true"], user="nobody-there")
    with pytest.raises(InvalidArgument):
        box.exec([])
    with pytest.raises(InvalidArgument):
        box.read_file("a\0b")


def test_files_go_in_and_out(box: Sandbox, tmp_path: Path) -> None:
    box.write_file("/work/script", b"#!/bin/sh\necho done\n", mode=0o755)
    assert words(box, "/work/script") == ["done"]
    words(box, "echo made > /work/made; busybox ln -s /work/made /work/link")
    assert box.read_file("/work/link") == b"made\n"
    assert [entry.name for entry in box.list_directory("/work")] == ["link", "made", "script"]
    assert (box.stat("/work/link").kind, box.stat("/work/link").size) == ("file", 5)
    box.download("/work", tmp_path / "out")
    assert os.readlink(tmp_path / "out/link") == "/work/made"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("in")
    box.upload(tmp_path / "in", "/work/", owner=(1, 1))
    assert words(box, "cat /work/in/file; echo; busybox stat -c %u /work/in/file") == ["in", "1"]
    kinds = {change.path: change.kind for change in box.diff()}
    assert kinds["/work/made"] is ChangeKind.ADD


def test_a_link_out_of_it_leads_to_nothing(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    links = {"link": f"{tmp_path}/secret", "directory": str(tmp_path), "top": "/"}
    for link, target in links.items():
        words(box, f"busybox ln -s {target} /{link}")
    for path in ("/link", "/directory/secret", f"/top{tmp_path}/secret"):
        with pytest.raises(DriverError) as refused:
            box.read_file(path)
        assert refused.value.errno == errno.ENOENT
    box.write_file("/link", b"mine")
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_paused_sandbox_stands_still(box: Sandbox) -> None:
    words(box, "(while :; do :; done) >/dev/null 2>&1 & exit 0")
    box.pause()
    spent = box.stats().cpu_seconds
    assert box.stats().cpu_seconds == spent
    (fork,) = box.fork()  # it stays paused
    assert box.stats().cpu_seconds == spent
    with fork:
        assert words(fork, "echo fork") == ["fork"]
    box.resume()
    while box.stats().cpu_seconds == spent:
        pass


def test_forks_go_their_own_ways(store: LayerStore) -> None:
    with store.sandbox(NAME, env=ENV, name="origin") as box:
        box.write_file("/state", b"one")
        first, second = box.fork(2)
        first.write_file("/state", b"two")
        (grandchild,) = first.fork()
        states = [one.read_file("/state") for one in (box, first, second, grandchild)]
        assert states == [b"one", b"two", b"one", b"two"]
        assert {one.name.partition("-")[0] for one in (first, second, grandchild)} == {"origin"}
        box.close()
        assert words(second, "cat /state") == ["one"]
        for one in (first, second, grandchild):
            one.close()
        with pytest.raises(InvalidArgument):
            second.fork(0)
    assert store.mounts() == []


def test_a_reset_sandbox_is_as_it_was_made(box: Sandbox) -> None:
    words(box, "echo bad > /state; sleep 60 >/dev/null 2>&1 & exit 0")
    box.reset()
    assert box.diff() == []
    assert len(words(box, "ps -o pid= | cat")) <= 4  # the first one, and this line's own
    assert words(box, "[ -e /state ] || echo gone") == ["gone"]


def test_its_bounds_are_for_all_of_its_commands_together(store: LayerStore) -> None:
    with store.sandbox(NAME, env=ENV, pids=8) as box:
        words(box, "for i in 1 2 3 4 5 6; do sleep 60 >/dev/null 2>&1 & done; exit 0")
        done = box.exec(["sh", "-c", "true & true & true & wait"])
        assert b"fork" in (done.stderr or b"") or done.status != 0
        assert box.stats().pids_limit == 8


@pytest.mark.skipif(not shutil.which("slirp4netns"), reason="slirp4netns isn't installed")
def test_a_private_network_is_that_of_all_of_its_commands(store: LayerStore) -> None:
    with store.sandbox(NAME, env=ENV, network="private", publish=["127.0.0.1::80"]) as box:
        (port,) = box.ports
        with box.start(["sh", "-c", "nc -l -p 80 -e echo hello"]):
            line = "until grep -q ':0050 ' /proc/net/tcp /proc/net/tcp6; do :; done"
            assert box.exec(["sh", "-c", line], time_limit=60).status == 0
            with socket.create_connection(("127.0.0.1", port.host_port), timeout=60) as client:
                assert client.recv(6) == b"hello\n"
        box.reset()
        assert box.ports[0].port == 80


def test_scratch_content_is_in_memory(store: LayerStore) -> None:
    opt = {"scratch": "memory", "size": "1m"}
    with store.sandbox(NAME, env=ENV, storage_opt=opt) as box:
        done = box.exec(["sh", "-c", "cat > /full"], given=bytes(2 << 20))
        assert b"No space left" in (done.stderr or b"")


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        ("none:1", {}, ImageDoesNotExist),
        (NAME, {"network": "wide"}, InvalidArgument),
        (NAME, {"user": 1}, TypeError),
        (NAME, {"name": "no/name"}, InvalidName),
        (NAME, {"storage_opt": {"size": "much"}}, InvalidArgument),
        (NAME, {"no_such": 1}, TypeError),
    ],
)
def test_what_can_not_be_made_leaves_nothing(
    store: LayerStore, image: str, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.sandbox(image, **options)  # type: ignore[arg-type]
    assert store.mounts() == []
    assert noted(store) == []


def test_nothing_is_left_of_many(store: LayerStore) -> None:
    def one(number: int) -> int:
        with store.sandbox(NAME, env=ENV) as box:
            return box.exec(["sh", "-c", f"exit {number}"]).status

    one(0)
    gc.collect()
    before = {name for name in descriptors() if not name.startswith("/")}
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(24))) == list(range(24))
    gc.collect()
    assert {name for name in descriptors() if not name.startswith("/")} == before
    assert store.mounts() == []
    assert noted(store) == []
    assert not [point for point in mounts() if point.path.startswith(f"{store.root}/overlay2")]


def descriptors() -> Iterator[str]:
    for fd in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue


def test_a_name_is_one_sandbox_s(store: LayerStore) -> None:
    with store.sandbox(NAME, env=ENV, name="box") as box:
        with pytest.raises(MountNameConflict):
            store.sandbox(NAME, name="box")
        assert words(box, "echo here") == ["here"]
        assert noted(store) == ["box"]
