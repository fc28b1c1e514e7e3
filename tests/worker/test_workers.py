"""Driver workers and their children: what dies, what waits, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    LayerStore,
    LayerStoreError,
    Limits,
    StoreBusy,
    StoreClosed,
    WorkerDied,
)
from layerstore.drivers.root.disk import DiskConfig
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.worker.process import ChildProcess
from tests.conftest import OpenStore
from tests.support.homes import directories_of
from tests.support.processes import ends, kill_children
from tests.support.tars import layer_tar, many_files

TAR = many_files(400, size=2000)


class Interrupted:
    """A tar source that does something when half of it is read."""

    def __init__(self, tar: bytes, half_way: Callable[[], None]) -> None:
        self._tar = tar
        self._half_way = half_way
        self._position = 0
        self._done = False

    def read(self, size: int, /) -> bytes:
        if self._position > len(self._tar) // 2 and not self._done:
            self._done = True
            self._half_way()
        chunk = self._tar[self._position : self._position + min(size, 65_536)]
        self._position += len(chunk)
        return chunk


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGKILL, "SIGKILL"), (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}")],
)
def test_a_child_killed_during_an_apply_leaves_nothing_half_made(
    store: LayerStore, number: int, told: str
) -> None:
    with pytest.raises(WorkerDied) as caught:
        store.register(Interrupted(TAR, partial(kill_children, number)))
    assert caught.value.status == f"killed by {told}"
    store.drain()
    assert store.map() == {}
    assert directories_of(store) == set()
    assert os.listdir(f"{store.root}/image/{store.driver_name}/layerdb/tmp") == []
    layer = store.register(TAR)
    with layer.tar_stream() as stream:
        assert stream.read() == TAR


def test_a_child_killed_while_it_is_idle_fails_at_most_one_job(store: LayerStore) -> None:
    store.register(layer_tar({"a": b"1"}))
    kill_children()
    failures = 0
    for number in range(8):
        try:
            store.register(layer_tar({"b": b"%d" % number}))
        except WorkerDied:
            failures += 1
    assert failures <= 2
    assert len(store.map()) == 9 - failures


def test_a_stream_whose_child_is_killed_says_so(store: LayerStore) -> None:
    layer = store.register(TAR)
    with layer.tar_stream() as stream:
        assert stream.read(1000)
        kill_children()
        with pytest.raises(WorkerDied):
            stream.read()


def test_short_work_does_not_wait_behind_long_applies(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    base = store.register(layer_tar({"a": b"1"})).chain_id

    def meanwhile() -> None:
        for number in range(5):
            store.create_rw_layer(f"rw{number}", base).release()

    assert store.register(Interrupted(TAR, meanwhile), base)
    assert store.mounts() == []


def test_without_children_everything_runs_in_threads(open_store: OpenStore) -> None:
    store = open_store(workers=0)
    layer = store.register(TAR)
    assert children_of(os.getpid()) == []
    with layer.tar_stream() as stream:
        assert stream.read() == TAR


def test_more_work_than_is_admitted_is_refused(open_store: OpenStore) -> None:
    store = open_store(max_streams=1, max_queued=1)
    outcomes: list[object] = []

    def register(number: int) -> None:
        try:
            outcomes.append(store.register(layer_tar({"b": b"%d" % number})))
        except StoreBusy as error:
            outcomes.append(error)

    def flood() -> None:
        threads = [threading.Thread(target=register, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 7:  # one of them waits in the queue for this apply to end
            for thread in threads:
                thread.join(0.01)

    store.register(Interrupted(TAR, flood))
    busy = [outcome for outcome in outcomes if isinstance(outcome, StoreBusy)]
    assert len(busy) == 7


def test_close_cuts_off_a_tar_that_never_ends(open_store: OpenStore) -> None:
    store = open_store()
    reader, writer = os.pipe()
    failure: list[BaseException] = []

    def register() -> None:
        try:
            store.register(reader)
        except LayerStoreError as error:
            failure.append(error)

    thread = threading.Thread(target=register)
    thread.start()
    os.write(writer, TAR[: 1 << 15])
    store.close(timeout=1)
    thread.join(60)
    os.close(writer)
    os.close(reader)
    assert not thread.is_alive()
    assert isinstance(failure[0], WorkerDied | StoreClosed)
    assert open_store().map() == {}


def test_a_closed_store_refuses(store: LayerStore) -> None:
    layer = store.register(layer_tar({"a": b"1"}))
    store.close()
    store.close()
    for use in (store.map, store.mounts, store.drain, layer.metadata, layer.tar_stream):
        with pytest.raises(StoreClosed):
            use()


def test_a_forked_child_cannot_use_the_store(store: LayerStore) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            store.map()
            answer = b"used"
        except StoreClosed:
            answer = b"refused"
        except LayerStoreError as error:
            answer = repr(error).encode()
        os.write(writer, answer)
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 100) == b"refused"
    os.close(reader)
    os.close(writer)
    assert store.map() == {}


_EMBEDDER = """
import os, sys
from layerstore import LayerStore
store = LayerStore(sys.argv[1], driver=sys.argv[2], workers=2)
tar = sys.stdin.buffer
class Endless:
    told = False
    def read(self, size):
        chunk = tar.read(65536)
        if not chunk:
            print("half way", flush=True)
            os.read(int(sys.argv[3]), 1)
        return chunk
store.register(Endless())
"""


def test_children_end_when_the_embedding_process_is_killed(
    root_dir: Path, driver_name: str
) -> None:
    keep_waiting, never = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _EMBEDDER, str(root_dir), driver_name, str(keep_waiting)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[keep_waiting],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(TAR[: len(TAR) // 2])
        process.stdin.close()
        assert process.stdout.readline() == b"half way\n"
        children = children_of(process.pid)
        assert len(children) >= 2
        process.kill()
    assert all(ends(pid, 60) for pid in children)
    os.close(keep_waiting)
    os.close(never)
    with LayerStore(root_dir, driver=driver_name) as store:
        assert store.map() == {}
        store.drain()
        assert directories_of(store) == set()


def test_a_store_nobody_closed_ends_with_its_process(root_dir: Path, driver_name: str) -> None:
    script = (
        "import sys; from layerstore import LayerStore\n"
        "store = LayerStore(sys.argv[1], driver=sys.argv[2])\n"
        "store.create_rw_layer('web').mount()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root_dir), driver_name],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    with LayerStore(root_dir, driver=driver_name) as store:
        assert [(mount.name, mount.mount_count) for mount in store.mounts()] == [("web", 0)]


def test_a_child_that_cannot_be_spawned_leaves_no_descriptor(
    root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DiskConfig(root=str(root_dir), driver="vfs", durable=False, limits=Limits())
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(DriverError) as caught:
        ChildProcess(config)
    assert caught.value.path == "/no/such/python"
    assert os.listdir("/proc/self/fd") == before


def test_an_interrupt_is_not_for_a_child_however_early(
    root_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A terminal sends one to all that belong to a command."""
    child = ChildProcess(DiskConfig(str(root_dir), "vfs", durable=False, limits=Limits()))
    try:
        os.kill(child.pid, signal.SIGINT)
        child.confinement()
        status = Path(f"/proc/{child.pid}/status").read_text()
    finally:
        child.close()
    (blocked,) = (line for line in status.splitlines() if line.startswith("SigBlk"))
    assert int(blocked.split()[1], 16) == 0
    assert capfd.readouterr() == ("", "")
