"""Closing while every kind of call is under way: it ends in time and each call has its answer."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import (
    Image,
    LayerStore,
    LayerStoreError,
    StoreClosed,
    WorkerDied,
)
from layerstore.actors import messages as m
from layerstore.drivers.confine import stopped
from layerstore.drivers.system.proc_children import children_of
from tests.actors.mounted import mounts_of
from tests.conftest import OpenStore
from tests.support.processes import kill_children
from tests.support.tars import layer_tar, many_files
from tests.support.waiting import wait_until

_IN_TIME = 25.0
"""Seconds that closing may take."""


class Waiting:
    """A method that waits, whenever it is called, until all are let go."""

    def __init__(self, owner: object, method: str, go_on: threading.Event) -> None:
        self._method: Callable[..., object] = getattr(owner, method)
        self._go_on = go_on
        self.calls = 0
        setattr(owner, method, self._call)

    def _call(self, *arguments: object, **options: object) -> object:
        self.calls += 1
        assert self._go_on.wait(60)
        return self._method(*arguments, **options)


class NeverRead(io.BytesIO):
    """A file that takes nothing until it is told to break off."""

    def __init__(self) -> None:
        super().__init__()
        self.broken_off = threading.Event()

    def write(self, _data: object, /) -> int:
        assert self.broken_off.wait(60)
        raise BrokenPipeError


@contextlib.contextmanager
def children_stopped() -> Iterator[None]:
    """Have every child stopped as soon as it is there, for the length of a block."""
    over = threading.Event()

    def stop_them() -> None:
        stopped: set[int] = set()
        while not over.wait(0.001):
            for pid in set(children_of(os.getpid())) - stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                stopped.add(pid)

    thread = threading.Thread(target=stop_them)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Calls:
    """Calls that are made in a thread each, and what became of them."""

    def __init__(self) -> None:
        self.outcomes: dict[str, object] = {}
        self._threads: dict[str, threading.Thread] = {}

    def make(self, name: str, call: Callable[[], object]) -> None:
        def run() -> None:
            try:
                self.outcomes[name] = call()
            except (LayerStoreError, BrokenPipeError) as error:
                self.outcomes[name] = error

        self._threads[name] = threading.Thread(target=run)
        self._threads[name].start()

    def under_way(self) -> set[str]:
        return self._threads.keys() - self.outcomes.keys()

    def settle(self, seconds: float) -> None:
        for name, thread in self._threads.items():
            thread.join(seconds)
            assert not thread.is_alive(), name


def image_of(store: LayerStore, name: str) -> Image:
    with store.create_rw_layer("temporary") as rw:
        with rw.mounted() as path:
            Path(path, name).write_bytes(b"1")
        return store.images.commit(rw, f"{name}:1")


def pipe_with(tar: bytes) -> tuple[int, int]:
    reader, writer = os.pipe()
    os.write(writer, tar)
    return reader, writer


def test_work_in_children_that_are_stopped_is_cut_off(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They are to be there when the store is closed, however long the machine takes to spawn them.
    monkeypatch.setattr(stopped, "_LOOKS", 10_000)
    store = open_store(max_streams=9, durability="relaxed")
    layer = store.register(many_files(20, size=50_000))
    rw = store.create_rw_layer("web", layer.chain_id)
    Path(rw.mount(), "new").write_bytes(b"1")
    bare = store.create_rw_layer("bare")
    image, other = image_of(store, "app"), image_of(store, "other")
    archive = io.BytesIO()
    store.images.save([other.id], archive)
    store.images.remove(other.id)
    store.drain()
    reader, writer = pipe_with(layer_tar({"a": b"1"})[:512])
    archive.seek(0)
    kill_children()
    calls = Calls()
    with children_stopped():
        calls.make("register", lambda: store.register(reader))
        calls.make("register bytes", lambda: store.register(many_files(20, size=90_000)))
        calls.make("stream", lambda: read_all(layer.tar_stream()))
        calls.make("stream from nothing", lambda: read_all(layer.tar_stream_from(None)))
        calls.make("stream changes", lambda: read_all(rw.tar_stream()))
        calls.make("changes", rw.changes)
        calls.make("size", rw.size)
        calls.make("apply", lambda: rw.apply_diff(layer_tar({"b": b"1"})))
        calls.make("check", store.check)
        wait_until(lambda: running(store) + len(calls.outcomes) >= 9)
        # These wait in the queue, for there are nine jobs at most.
        calls.make("check in full", lambda: store.check(full=True))
        calls.make("commit", lambda: store.images.commit(bare))
        calls.make("save", lambda: store.images.save([image.id], io.BytesIO()))
        calls.make("load", lambda: store.images.load(archive))
        calls.make("drain", store.drain)
        wait_until(lambda: queued(store) + len(calls.outcomes) >= 3)
        under_way = calls.under_way()
        started = time.monotonic()
        store.close(timeout=5)
        assert time.monotonic() - started < _IN_TIME
    calls.settle(_IN_TIME)
    os.close(reader)
    os.close(writer)
    # On a busy machine a child may have been quicker than whoever stops it.
    assert "register" in under_way, calls.outcomes
    assert len(under_way) >= 9
    for name in under_way:
        outcome = calls.outcomes[name]
        assert not isinstance(outcome, Exception) or isinstance(outcome, WorkerDied | StoreClosed)
    assert isinstance(calls.outcomes["register"], WorkerDied | StoreClosed)
    assert mounts_of(store) == []
    is_as_before(open_store(), 2)


def test_work_in_threads_is_finished(open_store: OpenStore) -> None:
    store = open_store(workers=8)
    base = store.register(layer_tar({"a": b"1"}))
    gone = store.register(layer_tar({"b": b"1"}))
    rws = [store.create_rw_layer(f"rw-{number}", base.chain_id) for number in range(3)]
    rws[1].mount()
    go_on = threading.Event()
    disk = store._core.disk
    waiting = [
        Waiting(owner, method, go_on)
        for owner, method in (
            (disk.driver, "get"),
            (disk.driver, "put"),
            (disk.driver, "create_read_write"),
            (disk.driver, "remove"),
            (disk.driver, "metadata"),
        )
    ]
    calls = Calls()
    calls.make("mount", rws[0].mount)
    calls.make("unmount", rws[1].unmount)
    calls.make("create", lambda: store.create_rw_layer("new", base.chain_id))
    calls.make("release", gone.release)
    calls.make("inspect", base.metadata)
    wait_until(lambda: all(method.calls for method in waiting))
    calls.make("release rw", rws[2].release)
    wait_until(lambda: waiting[3].calls == 2)
    assert len(calls.under_way()) == 6
    started = time.monotonic()
    calls.make("close", store.close)
    wait_until(lambda: is_closing(store))
    go_on.set()
    calls.settle(_IN_TIME)
    assert time.monotonic() - started < _IN_TIME
    failed = {n: o for n, o in calls.outcomes.items() if isinstance(o, LayerStoreError)}
    assert failed == {}
    assert mounts_of(store) == []
    again = open_store()
    assert again.faults == []
    assert [mount.name for mount in again.mounts()] == ["new", "rw-0", "rw-1"]
    assert set(again.map()) == {base.chain_id}
    assert again.check() == []


def test_callers_that_take_no_more_are_not_waited_for(open_store: OpenStore) -> None:
    store = open_store(durability="relaxed")
    layer = store.register(many_files(80, size=50_000))
    image = image_of(store, "app")
    stream = layer.tar_stream()
    assert stream.read(1)
    target = NeverRead()
    calls = Calls()
    calls.make("save", lambda: store.images.save([image.id], target))
    started = time.monotonic()
    store.close(timeout=3)
    assert time.monotonic() - started < _IN_TIME
    with pytest.raises((WorkerDied, StoreClosed)):
        stream.readall()
    target.broken_off.set()
    calls.settle(_IN_TIME)
    is_as_before(open_store(), 2)


def is_as_before(store: LayerStore, layers: int) -> None:
    assert store.faults == []
    assert len(store.map()) == layers
    store.drain()
    assert store.check(full=True) == []


def is_closing(store: LayerStore) -> bool:
    try:
        store.map()
    except StoreClosed:
        return True
    return False


def read_all(stream: io.RawIOBase) -> bytes:
    with stream:
        return stream.readall() or b""


def running(store: LayerStore) -> int:
    facts: m.PoolFacts = store._core.call(store._core.actors.pool, m.PoolStatus())
    return facts.running


def queued(store: LayerStore) -> int:
    facts: m.PoolFacts = store._core.call(store._core.actors.pool, m.PoolStatus())
    return facts.queued
