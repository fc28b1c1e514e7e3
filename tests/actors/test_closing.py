"""Closing a store while others use it: everybody gets an answer and nothing is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from layerstore import LayerStore, LayerStoreError, StoreClosed, StoreRestarted, WorkerDied
from layerstore.drivers.system.mountinfo import mount_points
from tests.conftest import OpenStore
from tests.support.tars import layer_tar, many_files


class Held:
    """A driver's method that waits, once it is called, until it is let go."""

    def __init__(self, store: LayerStore, method: str) -> None:
        self._method: Callable[..., object] = getattr(store._core.disk.driver, method)
        self.inside = threading.Event()
        self.go_on = threading.Event()
        setattr(store._core.disk.driver, method, self._call)

    def _call(self, *arguments: object) -> object:
        self.inside.set()
        assert self.go_on.wait(60)
        return self._method(*arguments)


def mounts_of(store: LayerStore) -> list[str]:
    return [point.path for point in mount_points() if point.path.startswith(f"{store.root}/")]


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline


def is_closing(store: LayerStore) -> bool:
    """Whether the MountRegistry has been asked to close its books, or to unmount."""
    kinds = {record.kind for record in store.trace() if record.receiver == "mounts"}
    return bool(kinds & {"CloseBooks", "UnmountAll"})


def outcome_of(call: Callable[[], object], outcomes: list[object]) -> threading.Thread:
    def run() -> None:
        try:
            outcomes.append(call())
        except LayerStoreError as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_mount_under_way_is_unmounted_by_close(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    rw = store.create_rw_layer("web", base.chain_id)
    held = Held(store, "get")
    outcomes: list[object] = []
    mounting = outcome_of(rw.mount, outcomes)
    assert held.inside.wait(60)
    closing = outcome_of(store.close, outcomes)
    wait_until(lambda: is_closing(store))
    held.go_on.set()
    for thread in (mounting, closing):
        thread.join(60)
    assert [outcome for outcome in outcomes if isinstance(outcome, LayerStoreError)] == []
    assert mounts_of(store) == []


def test_a_removal_under_way_does_not_keep_close_waiting(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    rw = store.create_rw_layer("web", base.chain_id)
    rw.mount()
    held = Held(store, "put")
    outcomes: list[object] = []
    removing = outcome_of(rw.release, outcomes)
    assert held.inside.wait(60)
    closing = outcome_of(store.close, outcomes)
    wait_until(lambda: is_closing(store))
    held.go_on.set()
    for thread in (removing, closing):
        thread.join(60)
    assert sorted(outcomes, key=repr) == [None, []]
    assert mounts_of(store) == []


def test_close_cuts_off_what_waits_behind_a_tar_that_never_ends(open_store: OpenStore) -> None:
    store = open_store(max_streams=1)
    pipes = [os.pipe() for _ in range(3)]
    outcomes: list[object] = []
    threads = [
        outcome_of(lambda reader=reader: store.register(reader), outcomes)  # type: ignore[misc]
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
        thread = outcome_of(call, outcomes)
        thread.join(60)
        assert not thread.is_alive()
    assert [type(outcome) for outcome in outcomes] == [StoreRestarted, dict]
    store.drain()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) == descriptors)


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
