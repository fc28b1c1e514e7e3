"""Callers that give up, and children that are stopped: nothing half-made stays, nobody waits on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from layerstore import CallTimeout, LayerStore, WorkerDied
from layerstore.actors import messages as m
from layerstore.actors.messages import PoolFacts
from layerstore.drivers.confine import stopped
from layerstore.drivers.system.proc_children import children_of
from tests.conftest import OpenStore
from tests.support.homes import directories_of
from tests.support.processes import ends
from tests.support.tars import layer_tar, many_files
from tests.support.waiting import held, in_thread, wait_until
from tests.support.ways.marks import CALLS_BACK, INSIDE, pid_of

TAR = many_files(400, size=4000)
MiB = 1 << 20


@pytest.fixture
def endless() -> Iterator[int]:
    """The read end of a pipe that holds the beginning of a tar, and never more."""
    reader, writer = os.pipe()
    os.write(writer, TAR[: 1 << 15])
    yield reader
    os.close(writer)
    os.close(reader)


def pool_of(store: LayerStore) -> PoolFacts:
    facts: PoolFacts = store.core.call(store.core.actors.pool, m.PoolStatus())
    return facts


def is_idle(store: LayerStore) -> bool:
    facts = pool_of(store)
    return facts.running == facts.queued == 0


def nothing_is_left(store: LayerStore, layers: int = 0) -> None:
    # Once no job runs, the registries know of it when they answer; what they begin then is over
    # when none runs again.
    wait_until(
        lambda: (
            is_idle(store)
            and len(store.map()) == layers
            and store.mounts() == []
            and is_idle(store)
        )
    )
    store.drain()
    assert store.check() == []
    assert len(directories_of(store)) == layers
    assert os.listdir(f"{store.root}/image/{store.driver_name}/layerdb/tmp") == []


def test_a_registration_that_takes_too_long_is_stopped(store: LayerStore, endless: int) -> None:
    for _ in range(3):
        with pytest.raises(CallTimeout, match=r"Register gave no answer within 0\.3 s"):
            store.register(endless, timeout=0.3)
    nothing_is_left(store)
    assert store.register(TAR).release()


def test_one_that_still_waits_for_its_turn_never_begins(
    open_store: OpenStore, endless: int
) -> None:
    store = open_store(max_streams=1)
    outcomes: list[object] = []
    first = in_thread(lambda: store.register(endless, timeout=20), outcomes)
    wait_until(lambda: pool_of(store).running == 1)
    with pytest.raises(CallTimeout):
        store.register(layer_tar({"a": b"1"}), timeout=0.3)
    wait_until(lambda: pool_of(store).queued == 0)
    assert outcomes == []
    for pid in children_of(pid_of(store)):
        os.kill(pid, signal.SIGKILL)
    first.join(60)
    nothing_is_left(store)


@INSIDE
def test_a_registration_that_is_done_too_late_is_undone(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"})).chain_id
    store.close()
    # Opened again, nothing keeps the base; giving up a layer on it must not take it along.
    with LayerStore(store.root, driver=store.driver_name) as again:
        waits = held(again._core.disk.metadata, "commit_layer")
        with pytest.raises(CallTimeout):
            again.register(layer_tar({"b": b"1"}), base, timeout=3)
        assert waits.inside.wait(60)
        waits.go_on.set()
        nothing_is_left(again, layers=1)
        assert again.map()[base].references == 0


@CALLS_BACK
def test_a_creation_that_is_done_too_late_is_undone(
    open_store: OpenStore, store: LayerStore
) -> None:
    base = store.register(layer_tar({"a": b"1"})).chain_id
    store.close()
    with open_store() as again:
        inside, go_on = threading.Event(), threading.Event()

        def init(_path: str) -> None:
            inside.set()
            assert go_on.wait(60)

        with pytest.raises(CallTimeout):
            again.create_rw_layer("web", base, init=init, timeout=3)
        assert inside.wait(60)
        assert [mount.state for mount in again.mounts()] == ["creating"]
        go_on.set()
        nothing_is_left(again, layers=1)
        assert again.map()[base].references == 0
        assert again.create_rw_layer("web", base).name == "web"


@INSIDE
def test_what_was_asked_for_in_vain_leaves_what_was_there_before(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"})).chain_id
    store.create_rw_layer("web", base)
    store.close()
    with LayerStore(store.root, driver=store.driver_name) as again:
        rw, layer = again.get_rw_layer("web"), again.get(base)
        same = again.register(layer_tar({"a": b"1"}))
        for number in (rw._reference, layer._reference, same._reference):
            for registry in (again._core.actors.layers, again._core.actors.mounts):
                registry.tell(m.Abandon(reference=number), None, "test")
        assert [(mount.name, mount.references) for mount in again.mounts()] == [("web", 0)]
        assert again.map()[base].references == 1


def test_an_interrupted_caller_leaves_nothing(store: LayerStore, endless: int) -> None:
    def interrupt() -> None:
        wait_until(lambda: pool_of(store).running == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # Whoever runs the tests in the background may have it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            store.register(endless)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    nothing_is_left(store)


def test_changing_a_read_write_layer_can_be_given_up(store: LayerStore, endless: int) -> None:
    with store.create_rw_layer("web") as rw:
        with pytest.raises(CallTimeout):
            rw.apply_diff(endless, timeout=0.5)
        assert rw.changes(timeout=30) is not None
        assert rw.size(timeout=30) >= 0
    nothing_is_left(store)


# Stopped children


def stop(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def family(store: LayerStore) -> list[int]:
    """The children's forks that there are."""
    return [fork for child in children_of(pid_of(store)) for fork in children_of(child)]


class HalfWay:
    """A tar source that does something when half of it is read."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._parts = [TAR[len(TAR) // 2 :], TAR[: len(TAR) // 2]]
        self._act = act

    def read(self, _size: int, /) -> bytes:
        if len(self._parts) == 1:
            self._act()
        return self._parts.pop() if self._parts else b""


@pytest.mark.parametrize("confine", ["auto", "off"])
def test_a_child_that_stays_stopped_is_given_up(open_store: OpenStore, confine: str) -> None:
    store = open_store(confine=confine)
    children: list[int] = []

    def act() -> None:
        children.extend(children_of(pid_of(store)))
        stop(children)

    with pytest.raises(WorkerDied, match="killed because it was stopped"):
        store.register(HalfWay(act))
    assert store.register(TAR).release()  # with children that were stopped when they were idle
    assert all(ends(pid, 60) for pid in children if pid not in children_of(pid_of(store)))
    for pid in children:
        if pid in children_of(pid_of(store)):
            os.kill(pid, signal.SIGCONT)
    nothing_is_left(store)


def test_so_is_the_fork_that_unpacks_and_its_child_lives(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    if store.confinement().missing:
        pytest.skip("nothing is unpacked in a fork here")
    store.register(layer_tar({"a": b"1"}))
    children = children_of(pid_of(store))
    with pytest.raises(WorkerDied, match="killed because it was stopped"):
        store.register(HalfWay(lambda: stop(family(store))))
    assert set(children) <= set(children_of(pid_of(store)))
    assert store.register(TAR).chain_id
    assert set(children) <= set(children_of(pid_of(store)))
    nothing_is_left(store, layers=2)


def test_one_that_goes_on_soon_loses_nothing(store: LayerStore) -> None:
    def act() -> None:
        children = children_of(pid_of(store))
        stop(children)
        time.sleep(1)  # what is tested is this pause
        for pid in children:
            os.kill(pid, signal.SIGCONT)

    assert store.register(HalfWay(act)).release()
    nothing_is_left(store)


@INSIDE
def test_a_caller_with_a_timeout_does_not_wait_for_a_stopped_child(
    store: LayerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped, "_LOOKS", 10_000)  # it is never given up
    started = time.monotonic()
    with pytest.raises(CallTimeout):
        store.register(HalfWay(lambda: stop(children_of(pid_of(store)))), timeout=1)
    assert time.monotonic() - started < 30
    nothing_is_left(store)


def test_a_stream_whose_child_is_stopped_ends_with_an_error(store: LayerStore) -> None:
    layer = store.register(many_files(40, size=MiB // 4))
    with layer.tar_stream() as stream:
        assert stream.read(1000)
        stop(children_of(pid_of(store)))
        with pytest.raises(WorkerDied):
            stream.readall()
    assert layer.release()
    nothing_is_left(store)
