"""A store that lets others in for as long as something takes, and then sees them off."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import CannotAttach, LayerStore, StoreClosed
from layerstore.drivers.errors import JobCancelled
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until

TAR = layer_tar({"a": b"1"})


def alone(root: Path) -> LayerStore:
    return LayerStore(root, driver="vfs", listen=False, prespawn=False, durability="relaxed")


def test_others_attach_for_as_long_as_it_is_shared(root_dir: Path) -> None:
    with alone(root_dir) as store:
        for _ in range(2):
            with pytest.raises(CannotAttach):
                LayerStore.attach(root_dir)
            with store.shared(), LayerStore.attach(root_dir) as other:
                other.register(TAR).release(keep=True)
        assert len(store.map()) == 1


def test_whoever_came_is_waited_for_and_nobody_else_gets_in(root_dir: Path) -> None:
    told: list[str] = []
    outcomes: list[object] = []
    came = threading.Event()

    def visit() -> int:
        with LayerStore.attach(root_dir) as other:
            came.set()
            wait_until(lambda: not (root_dir / "layerstore/socket").exists())
            gone = other.register(TAR).release()
            told.append("it leaves")
        return len(gone)

    with alone(root_dir) as store:
        with store.shared():
            visitor = in_thread(visit, outcomes)
            assert came.wait(60)
        told.append("it was seen off")
        with pytest.raises(CannotAttach):
            LayerStore.attach(root_dir)
        visitor.join(60)
    assert told == ["it leaves", "it was seen off"]
    assert outcomes == [1]


def interrupted(store: LayerStore, end: type[BaseException], others: list[LayerStore]) -> None:
    with store.shared():
        others.append(LayerStore.attach(store.root))
        raise end("it")


@pytest.mark.parametrize("end", [KeyboardInterrupt, JobCancelled])
def test_an_interrupt_waits_for_nobody(root_dir: Path, end: type[BaseException]) -> None:
    with alone(root_dir) as store:
        others: list[LayerStore] = []
        with pytest.raises(end):
            interrupted(store, end, others)
        (other,) = others
        with pytest.raises(StoreClosed):
            other.map()
        other.close()
        assert store.map() == {}


def visited(store: LayerStore, begin: Callable[[], object], came: threading.Event) -> None:
    with store.shared():
        begin()
        assert came.wait(60)


def use(store: LayerStore) -> None:
    while True:
        store.map()


def test_whoever_waits_for_others_may_be_interrupted_and_share_again(root_dir: Path) -> None:
    outcomes: list[object] = []

    def visit() -> None:
        with LayerStore.attach(root_dir) as other:
            came.set()
            wait_until(lambda: not (root_dir / "layerstore/socket").exists())
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            use(other)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    came = threading.Event()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with alone(root_dir) as store:
            with pytest.raises(KeyboardInterrupt):
                visited(store, lambda: in_thread(visit, outcomes), came)
            wait_until(lambda: outcomes != [])
            with store.shared(), LayerStore.attach(root_dir) as other:
                assert other.map() == {}
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(outcomes[0], StoreClosed)


def test_a_store_that_is_closed_meanwhile_keeps_nobody_waiting(root_dir: Path) -> None:
    outcomes: list[object] = []
    shared, closed = threading.Event(), threading.Event()

    def share(store: LayerStore) -> None:
        with store.shared():
            shared.set()
            assert closed.wait(60)

    with alone(root_dir) as store:
        sharing = in_thread(lambda: share(store), outcomes)
        assert shared.wait(60)
    closed.set()
    sharing.join(60)
    assert outcomes == [None]


def test_where_others_may_attach_anyway_nothing_changes(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="vfs") as store, LayerStore.attach(root_dir) as other:
        for one in (store, other):
            with one.shared():
                pass
        assert other.map() == {}
        with LayerStore.attach(root_dir) as third:
            assert third.map() == {}
