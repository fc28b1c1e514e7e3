"""Short jobs: who waits behind whom."""

from __future__ import annotations

import threading

import pytest

from layerstore import StoreBusy
from tests.conftest import OpenStore
from tests.support.waiting import in_thread, wait_until


def test_a_worker_that_is_held_up_holds_up_nobody_else(open_store: OpenStore) -> None:
    store = open_store(workers=2)
    inside, go_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        inside.set()
        assert go_on.wait(60)

    outcomes: list[object] = []
    held_up = in_thread(lambda: store.create_rw_layer("held-up", init=init), outcomes)
    try:
        assert inside.wait(60)
        others: list[object] = []
        threads = [
            in_thread(lambda number=number: store.create_rw_layer(f"w{number}"), others)  # type: ignore[misc]
            for number in range(20)
        ]
        for thread in threads:
            thread.join(60)
        assert {mount.name for mount in store.mounts() if mount.state == "ready"} == {
            f"w{number}" for number in range(20)
        }
        assert outcomes == []
    finally:
        go_on.set()
        held_up.join(60)
    assert len(store.mounts()) == 21


def test_what_waits_is_bounded_and_all_of_it_is_done(open_store: OpenStore) -> None:
    store = open_store(workers=1, max_queued=5)
    inside, go_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        inside.set()
        assert go_on.wait(60)

    outcomes: list[object] = []
    threads = [in_thread(lambda: store.create_rw_layer("held-up", init=init), outcomes)]
    try:
        assert inside.wait(60)
        for number in range(5):
            name = f"w{number}"
            threads.append(in_thread(lambda name=name: store.create_rw_layer(name), outcomes))  # type: ignore[misc]
        wait_until(lambda: len(store.mounts()) == 6)
        with pytest.raises(StoreBusy):
            store.create_rw_layer("one-more")
    finally:
        go_on.set()
        for thread in threads:
            thread.join(60)
    assert len(outcomes) == 6
    assert {mount.state for mount in store.mounts()} == {"ready"}
    store.create_rw_layer("one-more")
