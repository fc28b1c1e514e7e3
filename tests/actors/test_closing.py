"""Closing a store while others use it: everybody gets an answer and nothing is left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import (
    CallTimeout,
    LayerStore,
    LayerStoreError,
    StoreClosed,
    StoreRestarted,
    WorkerDied,
)
from tests.actors.mounted import mounts_of
from tests.conftest import OpenStore
from tests.support.tars import layer_tar, many_files
from tests.support.waiting import held, in_thread, wait_until


def is_closing(store: LayerStore) -> bool:
    """Whether the MountRegistry has been asked to close its books, or to unmount."""
    kinds = {record.kind for record in store.trace() if record.receiver == "mounts"}
    return bool(kinds & {"CloseBooks", "UnmountAll"})


def closed_during(store: LayerStore, method: str, call: Callable[[], object]) -> list[object]:
    """Close a store while the driver's method is under way for a call; return what came of both."""
    waits = held(store._core.disk.driver, method)
    outcomes: list[object] = []
    calling = in_thread(call, outcomes)
    assert waits.inside.wait(60)
    closing = in_thread(store.close, outcomes)
    wait_until(lambda: is_closing(store))
    waits.go_on.set()
    for thread in (calling, closing):
        thread.join(60)
    return outcomes


def test_a_mount_under_way_is_unmounted_by_close(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    rw = store.create_rw_layer("web", base.chain_id)
    outcomes = closed_during(store, "get", rw.mount)
    assert [outcome for outcome in outcomes if isinstance(outcome, LayerStoreError)] == []
    assert mounts_of(store) == []


def test_a_removal_under_way_does_not_keep_close_waiting(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    rw = store.create_rw_layer("web", base.chain_id)
    rw.mount()
    assert sorted(closed_during(store, "put", rw.release), key=repr) == [None, []]
    assert mounts_of(store) == []


def test_close_cuts_off_what_waits_behind_a_tar_that_never_ends(open_store: OpenStore) -> None:
    store = open_store(max_streams=1)
    pipes = [os.pipe() for _ in range(3)]
    outcomes: list[object] = []
    threads = [
        in_thread(lambda reader=reader: store.register(reader), outcomes)  # type: ignore[misc]
        for reader, _ in pipes
    ]
    for _, writer in pipes:
        os.write(writer, layer_tar({"a": b"1"})[:512])
    wait_until(lambda: sum(r.kind == "Submit" for r in store.trace()) >= len(pipes))
    store.close(timeout=0.5)
    for thread in threads:
        thread.join(60)
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)
    assert len(outcomes) == len(pipes)
    assert all(isinstance(outcome, WorkerDied | StoreClosed) for outcome in outcomes)
    assert open_store().map() == {}


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_caller_whose_actor_has_stopped_is_told_and_the_next_is_served(
    store: LayerStore, size: int
) -> None:
    layer = store.register(layer_tar({"a": b"1"}))
    tar = many_files(40, size)
    store.drain()
    descriptors = len(os.listdir("/proc/self/fd"))
    store._core.actors.layers.stop()
    assert store._core.actors.layers.join(60)
    outcomes: list[object] = []
    for call in (lambda: store.register(tar), layer.metadata):
        thread = in_thread(call, outcomes)
        thread.join(60)
        assert not thread.is_alive()
    assert [type(outcome) for outcome in outcomes] == [StoreRestarted, dict]
    store.drain()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) == descriptors)


@pytest.mark.thorough
def test_who_waits_for_an_actor_that_does_not_end_is_told(root_dir: Path) -> None:
    store = LayerStore(root_dir, driver="vfs")
    (mounts,) = store._core.actors.mounts._identity.keepers
    hangs = held(mounts, "end_turn")
    creating = store.later.create_rw_layer("web")
    assert hangs.inside.wait(60)
    with pytest.raises(CallTimeout):
        store.close(timeout=0.1)
    try:
        with pytest.raises(StoreClosed):
            creating.get(timeout=10)
    finally:
        hangs.go_on.set()


def test_workers_that_a_burst_has_started_are_let_go(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    layer = store.register(many_files(100, size=20_000))
    for _ in range(3):
        streams = [layer.tar_stream() for _ in range(12)]
        for stream in streams:
            assert stream.read(1)
        assert store._core.staff_count >= len(streams)
        for stream in streams:
            assert stream.read()
            stream.close()
    wait_until(lambda: store._core.staff_count <= 4)
