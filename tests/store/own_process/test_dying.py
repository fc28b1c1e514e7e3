"""An engine that is killed is followed by another; one whose embedder is killed ends."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import (
    LayerStore,
    StoreClosed,
    StoreRestarted,
)
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from tests.store.sharing.elsewhere import python
from tests.support.processes import ends, kill, stop
from tests.support.tars import layer_tar
from tests.support.waiting import Held, in_thread, wait_until

TAR = layer_tar({"etc": None, "etc/passwd": b"root"})


def engine_of(store: LayerStore) -> int:
    pid: int = store.core.link.pid  # type: ignore[attr-defined]
    return pid


def test_what_was_held_stays_held_and_what_was_mounted_mounted(own: LayerStore) -> None:
    base = own.register(TAR)
    again = own.get(base.chain_id)
    rw = own.create_rw_layer("web", base.chain_id)
    path = rw.mount()
    assert rw.mount() == path
    before = own.map(), own.mounts()
    kill(engine_of(own))
    assert (own.map(), own.mounts()) == before
    Path(path, "file").touch()
    assert [change.path for change in rw.changes()] == ["/file"]
    assert own.metrics().restarts == 1
    rw.unmount()
    assert os.listdir(path) != []
    rw.unmount()
    assert not any(point.path == path for point in mount_points())
    rw.release()
    assert base.release() == []
    assert [layer.chain_id for layer in again.release()] == [base.chain_id]
    own.drain()
    assert own.check() == []


def test_what_was_mounted_is_unmounted_at_the_end(own: LayerStore) -> None:
    rw = own.create_rw_layer("web", own.register(TAR).chain_id)
    path = rw.mount()
    kill(engine_of(own))
    own.close()
    assert not any(point.path == path for point in mount_points())


def test_a_creation_under_way_is_undone(own: LayerStore) -> None:
    base = own.register(TAR)
    with pytest.raises(StoreRestarted, match="the engine died"):
        own.create_rw_layer("web", base.chain_id, init=lambda _: kill(engine_of(own)))
    assert own.mounts() == []
    own.create_rw_layer("web", base.chain_id).release()
    assert own.map()[base.chain_id].references == 1
    own.drain()
    assert own.check() == []


def test_a_registration_under_way_is_undone(own: LayerStore) -> None:
    reader, writer = os.pipe()
    errors: list[object] = []
    waits = in_thread(lambda: own.register(reader), errors)
    wait_until(lambda: own.metrics().running_jobs == 1)
    kill(engine_of(own))
    waits.join(60)
    os.close(reader)
    os.close(writer)
    assert [type(error) for error in errors] == [StoreRestarted]
    assert own.map() == {}
    own.drain()
    assert own.check() == []


def test_a_hundred_removals_go_on_with_the_next_engine(own: LayerStore) -> None:
    base = own.register(TAR)
    layers = [own.create_rw_layer(f"rw-{number}", base.chain_id) for number in range(100)]
    with ThreadPoolExecutor(100) as threads:
        removals = [threads.submit(layer.release) for layer in layers]
        removals[10].result()
        kill(engine_of(own))
        for removal in removals:
            assert removal.result() == []
    assert own.mounts() == []
    assert own.map()[base.chain_id].references == 1
    own.drain()
    assert own.check() == []


def test_what_was_made_for_a_caller_that_never_heard_of_it_goes(own: LayerStore) -> None:
    base = own.register(TAR)
    made: set[str] = set()
    undone: set[str] = set()
    with ThreadPoolExecutor(50) as threads:
        turn = 0
        while turn < 3 or (not undone and turn < 50):  # all may be done by the time of the kill
            turn += 1
            names = [f"rw-{turn}-{number}" for number in range(100)]
            creations = {
                name: threads.submit(own.create_rw_layer, name, base.chain_id) for name in names
            }
            # Who asks before anybody has noticed the last turn's kill may hear of that: see below.
            creations[names[20]].exception()
            kill(engine_of(own))
            for name, creation in creations.items():
                error = creation.exception()
                assert error is None or isinstance(error, StoreRestarted)
                (made if error is None else undone).add(name)
    assert undone
    wait_until(lambda: {mount.name for mount in own.mounts()} == made)
    assert own.map()[base.chain_id].references == 1 + len(made)
    own.drain()
    assert own.check() == []


def test_futures_are_answered_by_the_next_engine(own: LayerStore) -> None:
    base = own.register(TAR)
    kill(engine_of(own))
    futures = [own.later.get(base.chain_id) for _ in range(20)]
    layers = [future.get(timeout=60) for future in futures]
    assert own.map()[base.chain_id].references == 21
    for layer in layers:
        layer.release()


def test_who_was_attached_is_told_and_holds_nothing(own: LayerStore, root_dir: Path) -> None:
    base = own.register(TAR)
    attached = LayerStore.attach(root_dir)
    attached.get(base.chain_id)
    attached.create_rw_layer("web", base.chain_id)
    kill(engine_of(own))
    with pytest.raises(StoreClosed):
        attached.map()
    attached.close()
    assert own.map()[base.chain_id].references == 2
    assert [mount.references for mount in own.mounts()] == [0]
    with LayerStore.attach(root_dir) as other:
        other.get_rw_layer("web").release()


def test_where_no_engine_can_go_on_the_store_is_closed(own: LayerStore, root_dir: Path) -> None:
    rw = own.create_rw_layer("web")
    away = root_dir.with_name(root_dir.name + "-away")
    root_dir.rename(away)
    try:
        kill(engine_of(own))
        with pytest.raises((StoreClosed, StoreRestarted)):
            rw.mount()
        with pytest.raises(StoreClosed):
            own.map()
        own.close()
    finally:
        away.rename(root_dir)


def test_nobody_gets_the_root_between_two_engines(own: LayerStore, root_dir: Path) -> None:
    refused = Held()

    def tries() -> int:
        count = 0
        while not refused.inside.is_set():
            try:
                LayerStore(root_dir, listen=False).close()
            except Exception as error:  # noqa: BLE001 - counted below
                count += type(error).__name__ == "StoreLocked"
            else:
                return -1
        return count

    counts: list[object] = []
    thread = in_thread(tries, counts)
    for _ in range(3):
        kill(engine_of(own))
        assert own.map() == {}
    refused.inside.set()
    thread.join(60)
    assert isinstance(counts[0], int)
    assert counts[0] > 0


_EMBEDS = """
import os, signal, sys, time
from layerstore import LayerStore
from tests.support.tars import layer_tar
store = LayerStore(sys.argv[1], driver="vfs", durability="relaxed", engine="process")
base = store.register(layer_tar({"a": b"1"}))
rw = store.create_rw_layer("web", base.chain_id)
rw.mount()
reader, writer = os.pipe()
if not os.fork():
    signal.pause()
store.later.register(reader)
while store.metrics().running_jobs != 1:
    pass
print("open", flush=True)
print(store.core.link.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_its_embedder_in_the_middle_of_whatever_it_does(root_dir: Path) -> None:
    with python(_EMBEDS, root_dir) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        (forked,) = set(children_of(process.pid)) - {engine}
        workers = children_of(engine)
        assert workers
        try:
            kill(process.pid)
            assert all(ends(pid, 60) for pid in (engine, *workers))
        finally:
            kill(forked)
            assert ends(forked, 60)
    with LayerStore(root_dir, durability="relaxed") as store:
        assert [mount.name for mount in store.mounts()] == ["web"]
        assert len(store.map()) == 1
        store.drain()
        assert store.check() == []


def test_an_engine_that_is_stopped_keeps_to_the_callers_time_outs(own: LayerStore) -> None:
    base = own.register(TAR)
    engine = engine_of(own)
    stop(engine)
    try:
        with pytest.raises(TimeoutError):
            own.create_rw_layer("web", base.chain_id, timeout=0.2)
    finally:
        os.kill(engine, signal.SIGCONT)
    wait_until(lambda: own.mounts() == [])
    assert own.map()[base.chain_id].references == 1


def test_who_is_interrupted_leaves_nothing(own: LayerStore) -> None:
    base = own.register(TAR)
    engine = engine_of(own)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    stop(engine)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            own.create_rw_layer("web", base.chain_id)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            own.get(base.chain_id)
    finally:
        signal.signal(signal.SIGALRM, before)
        os.kill(engine, signal.SIGCONT)
    wait_until(lambda: own.mounts() == [])
    wait_until(lambda: own.map()[base.chain_id].references == 1)
    assert engine_of(own) == engine


def test_a_hundred_threads_ask_at_once(own: LayerStore) -> None:
    base = own.register(TAR)
    descriptors = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(100) as threads:
        layers = list(threads.map(own.get, [base.chain_id] * 1000))
        list(threads.map(LayerStore.release, [own] * 1000, layers))
    assert own.map()[base.chain_id].references == 1
    # There is a socket for each of so many.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 16)


def test_one_that_dies_again_and_again_leaves_nothing(own: LayerStore) -> None:
    base = own.register(TAR)
    own.map()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for number in range(5):
        rw = own.create_rw_layer(f"rw-{number}", base.chain_id)
        kill(engine_of(own))
        rw.release()
        wait_until(lambda: threading.active_count() == threads)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert children_of(os.getpid()) == [engine_of(own)]
    assert own.metrics().restarts == 5
