"""What becomes of a store, and of those who wait for it, when one of its actors dies."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from layerstore import (
    InternalError,
    LayerDoesNotExist,
    LayerNotRetained,
    LayerStore,
    MountDoesNotExist,
    StoreClosed,
    StoreRestarted,
    WorkerDied,
)
from layerstore.actors import messages as m
from layerstore.actors.runtime import calls
from layerstore.actors.runtime.ref import Ref
from layerstore.engine import closing
from tests.actors.dying import ACTORS, hit, kill
from tests.actors.mounted import mounts_of
from tests.conftest import OpenStore
from tests.support.tars import layer_tar, many_files
from tests.support.waiting import in_thread, wait_until


@pytest.mark.parametrize("actor", ACTORS)
def test_what_was_answered_is_there_after_any_actor_died(store: LayerStore, actor: str) -> None:
    base = store.register(layer_tar({"etc": None, "etc/name": b"base"}))
    top = store.register(layer_tar({"f": b"1"}), base.chain_id)
    base.release()
    rw = store.create_rw_layer("web", top.chain_id)
    path = Path(rw.mount())
    assert rw.mount() == str(path)
    (path / "new").write_bytes(b"2")
    kill(store, actor)
    (mount,) = store.mounts()
    assert (mount.name, mount.state, mount.references) == ("web", "ready", 1)
    assert (mount.mount_count, mount.path) == (2, str(path))
    assert [str(change) for change in rw.changes()] == ["A /new"]
    assert {facts.references for facts in store.map().values()} == {1, 2}
    with pytest.raises(LayerNotRetained):
        base.release()
    rw.unmount()
    assert (path / "new").exists()
    rw.unmount()
    assert mounts_of(store) == []
    assert rw.release() == []
    assert [facts.chain_id for facts in top.release()] == [top.chain_id, base.chain_id]
    assert store.map() == {}
    store.drain()
    assert store.check() == []


def test_images_and_what_keeps_their_layers_outlive_an_actor(store: LayerStore) -> None:
    rw = store.create_rw_layer("web")
    with rw.mounted() as path:
        Path(path, "new").write_bytes(b"1")
    image = store.images.commit(rw, "app:1")
    kill(store, "images")
    assert [found.names for found in store.images.list()] == [("app:1",)]
    assert [facts.references for facts in store.map().values()] == [1]
    assert len(store.images.remove(image.id).layers) == 1
    assert store.map() == {}


def test_a_mount_that_was_there_before_the_store_is_kept(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"}))
    path = store.create_rw_layer("web", base.chain_id).mount()
    store.close(keep_mounts=True)
    mounted = mounts_of(store)
    again = open_store()
    kill(again, "mounts")
    assert mounts_of(again) == mounted
    again.close()
    assert mounts_of(again) == mounted
    last = open_store()
    last.get_rw_layer("web").release()
    assert not os.path.ismount(path)


class Paused:
    """A tar that is handed over up to its middle, and the rest once somebody says so."""

    def __init__(self, tar: bytes) -> None:
        self._parts = [tar[len(tar) // 2 :], tar[: len(tar) // 2]]
        self.half_way = threading.Event()
        self.go_on = threading.Event()

    def read(self, _size: int, /) -> bytes:
        if len(self._parts) == 1:
            self.half_way.set()
            assert self.go_on.wait(60)
        return self._parts.pop() if self._parts else b""


@pytest.mark.parametrize("actor", ACTORS)
def test_a_registration_under_way_fails_and_is_undone(store: LayerStore, actor: str) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    tar = Paused(many_files(400, size=4000))
    outcomes: list[object] = []
    thread = in_thread(lambda: store.register(tar, base.chain_id), outcomes)
    assert tar.half_way.wait(60)
    base.release()  # it goes with the registration that uses it
    kill(store, actor)
    tar.go_on.set()
    thread.join(60)
    assert isinstance(outcomes[0], StoreRestarted | WorkerDied)
    assert store.check() == []
    wait_until(lambda: store.map() == {})
    store.drain()


def test_a_creation_under_way_is_undone(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    inside, go_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        inside.set()
        assert go_on.wait(60)

    outcomes: list[object] = []
    thread = in_thread(lambda: store.create_rw_layer("web", base.chain_id, init=init), outcomes)
    assert inside.wait(60)
    hit(store, "mounts")
    thread.join(60)
    assert isinstance(outcomes[0], StoreRestarted)
    go_on.set()
    with pytest.raises(MountDoesNotExist):
        store.get_mount_id("web")
    store.create_rw_layer("web", base.chain_id, init=lambda _path: None).release()
    assert mounts_of(store) == []
    assert store.map()[base.chain_id].references == 1
    store.drain()
    assert store.check() == []


def test_what_was_made_for_a_caller_that_never_heard_of_it_goes(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"})).chain_id
    rw = store.create_rw_layer("web", base)
    layer = store.register(layer_tar({"b": b"1"}), base)
    core = store._core
    # As if the registries had died between the last step on the disk and the answer.
    core.actors.retained.mounts.unanswered.add(rw.mount_id)
    core.actors.retained.layers.unanswered.add(store.map()[layer.chain_id].cache_id)
    core.actors.retained.forget(rw._reference)
    core.actors.retained.forget(layer._reference)
    kill(store, "layers")
    assert store.mounts() == []
    store.drain()
    wait_until(lambda: [layer.references for layer in store.map().values()] == [1])
    assert set(store.map()) == {base}
    assert core.actors.retained.mounts.unanswered == core.actors.retained.layers.unanswered == set()
    store.drain()
    assert store.check() == []


def test_a_stream_that_is_read_ends_with_an_error(store: LayerStore) -> None:
    layer = store.register(many_files(2000, size=4096))
    with layer.tar_stream() as stream:
        assert stream.read(100)
        kill(store, "layers")
        with pytest.raises((StoreRestarted, WorkerDied)):
            stream.readall()
    with layer.tar_stream() as stream:
        assert stream.readall()


def test_a_stream_that_a_dead_worker_was_to_write_ends(open_store: OpenStore) -> None:
    store = open_store(workers=1, durability="relaxed")
    layer = store.register(many_files(5))
    told = False
    while not told:
        with layer.tar_stream() as stream:
            assert stream.read()
        hit(store, "worker")  # the pool may hand it the job before anybody knows
        try:
            with layer.tar_stream() as stream:
                stream.read()
        except StoreRestarted:
            told = True


def test_a_bug_that_an_asker_meets_is_told_and_mended(store: LayerStore) -> None:
    rw = store.create_rw_layer("web")
    with pytest.raises(StoreRestarted, match="mounts died"):
        store._core.call(store._core.actors.mounts, m.CutOff())
    assert rw.changes() == []


def test_a_question_that_finds_its_actor_dead_is_asked_again(store: LayerStore) -> None:
    rw = store.create_rw_layer("web")
    for _ in range(5):
        hit(store, "mounts")
        assert store.get_mount_id("web") == rw.mount_id


def test_names_that_are_no_text_are_the_callers_error(store: LayerStore) -> None:
    for use in (store.create_rw_layer, store.get_rw_layer, store.get_mount_id):
        with pytest.raises(TypeError):
            use(["web"])  # type: ignore[arg-type]
    assert store._core.actors.number == 0


@pytest.mark.parametrize("actor", ACTORS)
def test_closing_meanwhile_ends_everything(open_store: OpenStore, actor: str) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"}))
    store.create_rw_layer("web", base.chain_id).mount()
    hit(store, actor)
    store.close()
    assert mounts_of(store) == []
    again = open_store()
    assert [mount.name for mount in again.mounts()] == ["web"]


def test_closing_unmounts_what_an_actor_was_to_that_died_before(
    store: LayerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    store.create_rw_layer("web", base.chain_id).mount()
    before = [{"web": StoreRestarted("pool")}]

    def call(ref: Ref, message: m.Message, timeout: float) -> object:
        is_first = isinstance(message, m.UnmountAll) and bool(before)
        return before.pop() if is_first else calls.call(ref, message, timeout)

    monkeypatch.setattr(closing, "call", call)
    store.close()
    assert before == []
    assert mounts_of(store) == []


def test_without_a_root_to_read_the_store_says_that_it_is_closed(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"}))
    store.create_rw_layer("web", base.chain_id).mount()
    store.drain()
    layers = Path(store.root, "image", store.driver_name, "layerdb/sha256")
    layers.rename(f"{layers}.kept")
    layers.write_bytes(b"no directory")
    hit(store, "layers")
    with pytest.raises((InternalError, StoreClosed)):
        store.map()
    with pytest.raises(StoreClosed):
        store.get_mount_id("web")
    with pytest.raises(StoreClosed):
        base.release()
    store.close()
    assert mounts_of(store) == []
    layers.unlink()
    Path(f"{layers}.kept").rename(layers)
    with pytest.raises(LayerDoesNotExist):
        open_store().get("sha256:" + "0" * 64)
