"""Owners and attached processes that end, however they do: nobody hangs, and nothing is left."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from layerstore import CallTimeout, CannotAttach, LayerStore, StoreClosed
from layerstore.drivers.errors import LayerStoreError
from tests.store.sharing.elsewhere import owner, python
from tests.support.processes import kill, stop
from tests.support.tars import layer_tar, many_files
from tests.support.waiting import in_thread, wait_until

TAR = layer_tar({"a": b"1"})


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_who_waits_for_an_owner_that_ends_is_told(root_dir: Path, how: str) -> None:
    outcomes: list[object] = []
    reader, writer = os.pipe()
    with owner(root_dir) as process, LayerStore.attach(root_dir) as attached:
        layer = attached.register(TAR)
        waits = in_thread(lambda: attached.register(reader), outcomes)
        later = attached.later.register(reader)
        wait_until(lambda: len(attached._basis.core.link._asked) == 2)  # type: ignore[union-attr]
        if how == "killed":
            process.kill()
        else:
            process.communicate("")
        waits.join(60)
        assert [type(outcome) for outcome in outcomes] == [StoreClosed]
        with pytest.raises(StoreClosed):
            later.get(timeout=60)
        with pytest.raises(StoreClosed):
            attached.get(layer.chain_id)
    os.close(reader)
    os.close(writer)
    with LayerStore(root_dir) as again:  # whatever the dead one has left
        assert again.check() == []
        with LayerStore.attach(root_dir) as attached:
            assert attached.map().keys() == {layer.chain_id}
    assert sorted(os.listdir(root_dir / "layerstore")) == ["lock", "trash"]


def test_an_owner_that_is_stopped_keeps_nobody_beyond_the_timeout(root_dir: Path) -> None:
    with owner(root_dir) as process, LayerStore.attach(root_dir) as attached:
        stop(process.pid)
        try:
            with pytest.raises(CallTimeout):
                attached.register(TAR, timeout=0.2)
            with pytest.raises(CannotAttach, match=r"took no call for 0\.2 s"):
                LayerStore.attach(root_dir, timeout=0.2)
        finally:
            process.send_signal(signal.SIGCONT)
        assert attached.map() == {}
        assert attached.check() == []


_HOLDS = """
import os, sys
from layerstore import LayerStore
store = LayerStore.attach(sys.argv[1])
layer = store.get(sys.argv[2])
rw = store.get_rw_layer("web")
store.later.register(os.pipe()[0])
stream = layer.tar_stream()
assert stream.read(10)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_process_that_is_killed_holds_nothing_any_more(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="vfs", durability="relaxed") as store:
        layer = store.register(many_files(100, 20_000))
        with store.create_rw_layer("web", layer.chain_id):
            before = store.map(), store.mounts()
            with python(_HOLDS, root_dir, layer.chain_id) as process:
                assert store.mounts()[0].references == 2
                kill(process.pid)
            wait_until(lambda: (store.map(), store.mounts()) == before)
            wait_until(lambda: store.metrics().running_jobs == 0)
            store.drain()
            assert store.check() == []


def test_a_socket_that_a_dead_owner_left_is_replaced(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="vfs"):
        pass
    path = root_dir / "layerstore" / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(CannotAttach, match="no process listens there"):
        LayerStore.attach(root_dir)
    with LayerStore(root_dir), LayerStore.attach(root_dir) as attached:
        assert attached.map() == {}
    assert not path.exists()


def test_a_link_in_the_sockets_place_leads_nowhere(root_dir: Path, tmp_path: Path) -> None:
    with LayerStore(root_dir, driver="vfs"):
        pass
    victim = tmp_path / "victim"
    victim.write_bytes(b"content")
    (root_dir / "layerstore" / "socket").symlink_to(victim)
    with LayerStore(root_dir), LayerStore.attach(root_dir) as attached:
        assert attached.map() == {}
    assert victim.read_bytes() == b"content"


def test_a_roots_path_may_be_longer_than_a_sockets(root_dir: Path) -> None:
    deep = root_dir / ("d" * 100) / ("e" * 100)
    with LayerStore(deep, driver="vfs"), LayerStore.attach(deep) as attached:
        assert attached.map() == {}


def test_where_no_socket_can_be_made_all_else_works(
    root_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root_dir / "layerstore" / "socket").mkdir(parents=True)
    with (
        caplog.at_level(logging.WARNING, "layerstore"),
        LayerStore(root_dir, driver="vfs") as store,
    ):
        assert "no other process can attach to the store: listen on" in caplog.text
        assert store.register(TAR).release() != []
        with pytest.raises(CannotAttach, match="no process listens there"):
            LayerStore.attach(root_dir)


_REMOVES = """
import sys
from layerstore import LayerStore
with LayerStore.attach(sys.argv[1]) as store:
    for number in range(10):
        store.get_rw_layer(f"{sys.argv[2]}-{number}").release()
"""


@pytest.mark.thorough
def test_ten_processes_remove_a_hundred(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="vfs", durability="relaxed") as store:
        layer = store.register(TAR)
        for process in range(10):
            for number in range(10):
                rw = store.create_rw_layer(f"p{process}-{number}", layer.chain_id)
                store.get_rw_layer(rw.name)
                rw.release()
        del rw
        processes = [
            subprocess.Popen([sys.executable, "-c", _REMOVES, root_dir, f"p{number}"])
            for number in range(10)
        ]
        assert [process.wait(60) for process in processes] == [0] * 10
        assert {mount.references for mount in store.mounts()} == {1}


def test_closing_ends_every_thread_and_answers_everybody(root_dir: Path) -> None:
    threads = set(threading.enumerate())
    descriptors = set(os.listdir("/proc/self/fd"))
    store = LayerStore(root_dir, driver="vfs", prespawn=False)
    attached = LayerStore.attach(root_dir)
    errors: list[object] = []
    reader, writer = os.pipe()
    waits = in_thread(lambda: attached.register(reader), errors)
    wait_until(lambda: store.metrics().running_jobs == 1)
    attached.close()
    waits.join(60)
    assert [isinstance(error, LayerStoreError) for error in errors] == [True]
    store.close()
    os.close(reader)
    os.close(writer)
    assert set(threading.enumerate()) == threads
    assert set(os.listdir("/proc/self/fd")) == descriptors
