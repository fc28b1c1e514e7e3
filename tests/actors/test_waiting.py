"""Who waits for whom: told as data, and by the watchdog in the log."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from layerstore import LayerStore, PendingRequest, StoreClosed
from tests.conftest import OpenStore
from tests.support.tars import layer_tar
from tests.support.waiting import Held, wait_until


def eventually(store: LayerStore, wanted: Callable[[tuple[PendingRequest, ...]], bool]) -> None:
    """Look until what waits is as wanted."""
    deadline = time.monotonic() + 60
    while not wanted(store.waiting().requests):
        assert time.monotonic() < deadline, store.waiting()


def test_an_idle_store_waits_for_nothing(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    store.map()
    store.drain()
    eventually(store, lambda requests: requests == ())
    there = {"images", "mounts", "layers", "pool", "reaper", "pool-worker-1"}
    # The pool starts workers by itself, while the store is used already.
    wait_until(lambda: there <= {actor.name for actor in store.waiting().actors})
    waiting = store.waiting()
    assert {actor.thread for actor in waiting.actors} <= {t.ident for t in threading.enumerate()}
    store.close()
    with pytest.raises(StoreClosed):
        store.waiting()


def test_a_request_tells_which_worker_has_its_job_and_who_is_behind_it(
    open_store: OpenStore,
) -> None:
    store = open_store(workers=1)
    blocked = Held()
    with ThreadPoolExecutor(3) as threads:
        making = threads.submit(store.create_rw_layer, "web", init=blocked)
        try:
            assert blocked.inside.wait(60)
            other = threads.submit(store.create_rw_layer, "other")
            eventually(
                store,
                lambda found: len(found) == 2 and "in the queue of pool" in str(found[1].waits_for),
            )
            first, second = store.waiting().requests
            assert (first.kind, first.summary, first.actor) == ("CreateRWLayer", "web", "mounts")
            assert any("CreateMount web" in place for place in first.waits_for)
            assert any("with pool-worker-1 for" in place for place in first.waits_for)
            assert second.summary == "other"
            worker = next(a for a in store.waiting().actors if a.name == "pool-worker-1")
            assert worker.doing is not None
            assert worker.doing.startswith("CreateMount web")
            pool = next(actor for actor in store.waiting().actors if actor.name == "pool")
            assert pool.queue == 1
        finally:
            blocked.go_on.set()
        making.result(60).release()
        other.result(60).release()
    eventually(store, lambda requests: requests == ())


def test_a_job_of_a_child_names_the_child(open_store: OpenStore) -> None:
    store = open_store()
    reader, writer = os.pipe()
    with ThreadPoolExecutor(1) as threads:
        registering = threads.submit(store.register, reader)
        try:
            eventually(
                store,
                lambda requests: any("child" in p for r in requests for p in r.waits_for),
            )
            (request,) = store.waiting().requests
            assert request.kind == "Register"
            pids = {actor.child for actor in store.waiting().actors}
            place = next(place for place in request.waits_for if "child" in place)
            assert int(place.split("child ")[1].split(" ")[0]) in pids
        finally:
            os.write(writer, layer_tar({"a": b"1"}))
            os.close(writer)
        registering.result(60)
    os.close(reader)


def test_without_a_trace_the_actors_are_still_told(open_store: OpenStore) -> None:
    store = open_store(trace_size=0)
    store.map()
    assert store.waiting().requests == ()
    assert "layers" in {actor.name for actor in store.waiting().actors}


def test_the_watchdog_tells_once_of_each_stalled_request(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    said = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "has no answer" in record.getMessage():
                said.set()

    heard = Heard()
    logging.getLogger("layerstore").addHandler(heard)
    store = open_store(workers=1, stall_after=0.2)
    blocked = Held()
    try:
        with ThreadPoolExecutor(1) as threads:
            making = threads.submit(store.create_rw_layer, "web", init=blocked)
            try:
                assert said.wait(60)
                said.clear()
                assert not said.wait(0.6), "it is told once"
            finally:
                blocked.go_on.set()
            making.result(60).release()
    finally:
        logging.getLogger("layerstore").removeHandler(heard)
    messages = [record.getMessage() for record in caplog.records]
    (told,) = [said for said in messages if "(CreateRWLayer web) has no answer" in said]
    assert re.search(r"has no answer from mounts after \d+\.\d", told)
    assert "it waits for CreateMount web" in told
    assert "the thread of pool-worker-1 is at" in told
    assert "tests/support/waiting.py" in told, "the stack leads to who really waits"
    assert "  layers: at nothing; 0 in its mailbox" in told


def test_the_watchdog_ends_with_the_store_and_can_be_off(open_store: OpenStore) -> None:
    before = set(threading.enumerate())
    store = open_store()
    assert [t for t in threading.enumerate() if t.name == "watchdog" and t not in before]
    store.close()
    store = open_store(stall_after=0)
    assert not [t for t in threading.enumerate() if t.name == "watchdog" and t not in before]
