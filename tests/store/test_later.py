"""The way in for actors: futures at once, outcomes as messages, and what is given up is undone."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pykka
import pytest

from layerstore import (
    JobCancelled,
    LaterRWLayer,
    LayerDoesNotExist,
    LayerStore,
    MountDoesNotExist,
    MountNameConflict,
    Outcome,
    StoreClosed,
)
from layerstore.drivers.work import Init
from tests.support.tars import layer_tar
from tests.support.waiting import Held
from tests.support.ways.marks import CALLS_BACK

NO_CHAIN = "sha256:" + "0" * 64


class Boss(pykka.ThreadingActor):
    """Makes, mounts and removes read-write layers without ever waiting."""

    def __init__(self, store: LayerStore, base: str, names: list[str]) -> None:
        super().__init__()
        self._store = store.later
        self._base = base
        self._names = names
        self.done: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        self._paths: dict[str, str] = {}
        self._layers: dict[str, LaterRWLayer] = {}
        self._left = len(names)

    def on_start(self) -> None:
        for name in self._names:
            made = self._store.create_rw_layer(name, self._base)
            made.tell(self.actor_ref, ("created", name))

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, Outcome):
            return self.done
        assert isinstance(message.tag, tuple)
        what, name = message.tag
        match what:
            case "created":
                self._layers[name] = message.get()
                self._layers[name].mount().tell(self.actor_ref, ("mounted", name))
            case "mounted":
                self._paths[name] = message.get()
                self._layers[name].release().tell(self.actor_ref, ("released", name))
            case "released":
                assert message.get() == []
                self._left -= 1
                if not self._left:
                    self.done.put(self._paths)
        return None


def test_an_actor_works_with_a_store_by_messages_alone(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    names = [f"rw-{number}" for number in range(20)]
    boss = Boss.start(store, base.chain_id, names)
    try:
        paths = boss.ask("done", block=True).get(timeout=60)
    finally:
        boss.stop()
    assert paths.keys() == set(names)
    assert len(set(paths.values())) == len(names)
    assert store.mounts() == []


def test_every_call_has_its_future(store: LayerStore, tmp_path: Path) -> None:
    later = store.later
    tar = layer_tar({"a": b"1"})
    path = tmp_path / "tar"
    path.write_bytes(tar)
    base = later.register(tar).get(timeout=60)
    again = later.register(path).get(timeout=60)
    assert base.chain_id == again.chain_id
    assert base.metadata().get(timeout=60)
    held = later.get(base.chain_id).get(timeout=60)
    assert later.release(held).get(timeout=60) == []
    rw = later.create_rw_layer("rw", base.chain_id).get(timeout=60)
    assert rw.apply_diff(layer_tar({"b": b"22"})).get(timeout=60) == 2
    assert [str(change) for change in rw.changes().get(timeout=60)] == ["A /b"]
    assert rw.size().get(timeout=60) == 2
    assert rw.mount_id == later.get_mount_id("rw").get(timeout=60)
    assert later.find_rw_layer(rw.mount_id).get(timeout=60).name == "rw"
    assert later.find_layer(base.chain_id).get(timeout=60).diff_id == base.diff_id
    assert later.count_layers().get(timeout=60) == 1
    assert later.count_rw_layers().get(timeout=60) == 1
    with open(rw.mount().get(timeout=60) + "/b", "rb") as file:
        assert file.read() == b"22"
    rw.unmount().get(timeout=60)
    assert [mount.name for mount in later.mounts().get(timeout=60)] == ["rw"]
    assert later.usage().get(timeout=60) == {"rw": None}
    second = later.get_rw_layer("rw").get(timeout=60)
    assert rw.metadata().get(timeout=60)
    assert later.release_rw_layer(second).get(timeout=60) == []
    rw.release().get(timeout=60)
    base.release().get(timeout=60)
    (gone,) = again.release().get(timeout=60)
    assert gone.chain_id == base.chain_id
    assert later.map().get(timeout=60) == {}
    later.drain().get(timeout=60)


def test_errors_are_those_of_the_blocking_calls(store: LayerStore) -> None:
    later = store.later
    with pytest.raises(LayerDoesNotExist):
        later.get(NO_CHAIN).get(timeout=60)
    rw = later.create_rw_layer("rw").get(timeout=60)
    with pytest.raises(MountNameConflict):
        later.create_rw_layer("rw").get(timeout=60)
    rw.release().get(timeout=60)
    with pytest.raises(MountDoesNotExist):
        later.get_rw_layer("rw").get(timeout=60)
    with pytest.raises(TypeError, match="path or number"):
        later.register(_Readable())  # type: ignore[arg-type]


class _Readable:
    def read(self, _size: int, /) -> bytes:
        raise AssertionError


@CALLS_BACK
def test_what_is_given_up_is_undone(store: LayerStore) -> None:
    held = Held()
    init: Init = held
    making = store.later.create_rw_layer("rw", init=init)
    assert held.inside.wait(60)
    making.abandon()
    making.abandon()
    with pytest.raises(JobCancelled):
        making.get(timeout=60)
    held.go_on.set()
    store.drain()
    _wait_until_gone(store, "rw")
    with store.create_rw_layer("rw"):
        pass


def test_what_is_given_up_after_its_answer_is_let_go(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    again = store.later.get(base.chain_id)
    again.get(timeout=60)
    assert store.map()[base.chain_id].references == 2
    again.abandon()
    assert store.map()[base.chain_id].references == 1


def _wait_until_gone(store: LayerStore, name: str) -> None:
    """Wait for the message that gives it up: a creation of the name is refused until then."""
    while True:
        try:
            store.create_rw_layer(name).release()
        except MountNameConflict:
            continue
        return


@CALLS_BACK
def test_closing_answers_everybody(store: LayerStore) -> None:
    held = Held()
    making = store.later.create_rw_layer("rw", init=held)
    assert held.inside.wait(60)
    waiting = [store.later.map() for _ in range(50)]
    held.go_on.set()
    store.close()
    making.get(timeout=60)
    for answer in waiting:
        assert answer.get(timeout=60) == {}
    with pytest.raises(StoreClosed):
        store.later.map()
