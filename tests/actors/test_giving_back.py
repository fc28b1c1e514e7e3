"""References to layers that are given back beside others: the last one, and no other, removes."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from layerstore import (
    DriverError,
    Layer,
    LayerDoesNotExist,
    LayerMetadata,
    LayerNotRetained,
    LayerStore,
    StorageFull,
)
from tests.actors.dying import hit
from tests.actors.held_up import chains, layers_wait
from tests.conftest import OpenStore
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until

THREADS = 8


@pytest.fixture
def layer(store: LayerStore) -> Layer:
    """A layer that is held once."""
    return store.register(layer_tar({"a": b"1"}))


def test_of_all_who_give_back_at_once_one_hears_that_it_went(store: LayerStore) -> None:
    for _ in range(20):
        first = store.register(layer_tar({"a": b"1"}))
        held = [first, *(store.get(first.chain_id) for _ in range(THREADS - 1))]
        together = threading.Barrier(THREADS)
        outcomes: list[object] = []

        def give_back(layer: Layer, together: threading.Barrier = together) -> list[LayerMetadata]:
            together.wait(60)
            return layer.release()

        threads = [
            in_thread(lambda layer=layer: give_back(layer), outcomes)  # type: ignore[misc]
            for layer in held
        ]
        for thread in threads:
            thread.join(60)
        assert sorted(chains(outcomes)) == [[]] * (THREADS - 1) + [[first.chain_id]]
        assert store.map() == {}
    assert store.check() == []


def test_what_is_got_and_given_back_by_many_is_kept_by_who_has_it(
    store: LayerStore, layer: Layer
) -> None:
    def turns() -> list[LayerMetadata]:
        return [gone for _ in range(100) for gone in store.get(layer.chain_id).release()]

    outcomes: list[object] = []
    threads = [in_thread(turns, outcomes) for _ in range(THREADS)]
    for thread in threads:
        thread.join(60)
    assert outcomes == [[]] * THREADS
    assert store.map()[layer.chain_id].references == 1
    assert chains([layer.release()]) == [[layer.chain_id]]


def test_who_gives_back_twice_is_told(store: LayerStore, layer: Layer) -> None:
    again, *others = [store.get(layer.chain_id) for _ in range(THREADS)]
    outcomes: list[object] = []
    threads = [in_thread(again.release, outcomes) for _ in range(THREADS)]
    for thread in threads:
        thread.join(60)
    assert outcomes.count([]) == 1
    assert {type(outcome) for outcome in outcomes if outcome != []} == {LayerNotRetained}
    assert store.map()[layer.chain_id].references == len([layer, *others])


def test_a_mount_keeps_a_layer_whose_last_reference_is_given_back(
    store: LayerStore, layer: Layer
) -> None:
    rw = store.create_rw_layer("web", layer.chain_id)
    again = store.get(layer.chain_id)
    assert [again.release(), layer.release()] == [[], []]
    assert chains([rw.release()]) == [[layer.chain_id]]


def test_who_is_asked_to_wait_hears_what_those_before_it_have_left(
    store: LayerStore, layer: Layer
) -> None:
    again = store.later.get(layer.chain_id).get(timeout=60)
    with layers_wait(store):
        asked = again.release()
        # There is leave for one: the other reference is still there when this is put in.
        assert layer.release() == []
    assert chains([asked.get(timeout=60)]) == [[layer.chain_id]]
    with pytest.raises(LayerDoesNotExist):
        store.get(layer.chain_id)


def test_who_gets_it_meanwhile_keeps_it(store: LayerStore, layer: Layer) -> None:
    again = store.later.get(layer.chain_id).get(timeout=60)
    with layers_wait(store):
        asked, got = again.release(), store.later.get(layer.chain_id)
        assert layer.release() == []
    assert asked.get(timeout=60) == []
    kept = got.get(timeout=60)
    assert store.map()[layer.chain_id].references == 1
    assert chains([kept.release().get(timeout=60)]) == [[layer.chain_id]]


def test_a_reference_that_is_given_up_leaves_no_leave_behind(
    store: LayerStore, layer: Layer
) -> None:
    got = store.later.get(layer.chain_id)
    got.get(timeout=60)
    got.abandon()
    wait_until(lambda: store.map()[layer.chain_id].references == 1)
    assert chains([layer.release()]) == [[layer.chain_id]]


class Interrupts:
    """Interrupts of the main thread, again and again, which come only where they are let in."""

    def __init__(self) -> None:
        self.let_in = False
        self.came = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._interrupt)

    def _interrupt(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while not self._over.wait(0.0003):
            signal.pthread_kill(main, signal.SIGINT)

    def _handle(self, *_: object) -> None:
        if self.let_in:
            self.let_in = False
            self.came += 1
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        gc.disable()  # one that comes where garbage is collected is raised nowhere
        self._before = signal.signal(signal.SIGINT, self._handle)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        signal.signal(signal.SIGINT, self._before)
        gc.enable()


def test_an_interrupt_loses_no_reference(store: LayerStore, layer: Layer) -> None:
    """However it comes, a reference is there, to be given back once more, or it is not."""
    with Interrupts() as interrupts:
        turns = 0
        while turns < 100 or interrupts.came < 100:
            turns += 1
            assert turns < 100_000
            got: Layer | None = None
            with contextlib.suppress(KeyboardInterrupt):
                interrupts.let_in = True
                got = store.get(layer.chain_id)
                interrupts.let_in = False
            while got is not None:
                try:
                    interrupts.let_in = True
                    got.release()
                    interrupts.let_in = False
                    got = None
                except KeyboardInterrupt:
                    pass
                except LayerNotRetained:
                    got = None
                finally:
                    interrupts.let_in = False
    wait_until(lambda: store.map()[layer.chain_id].references == 1)
    assert chains([layer.release()]) == [[layer.chain_id]]


def test_what_was_given_back_unheard_goes_though_the_actor_dies_first(
    open_store: OpenStore,
) -> None:
    store = open_store()
    layer = store.register(layer_tar({"a": b"1"}))
    with LayerStore.attach(store.root) as other:
        other.get(layer.chain_id)
        with layers_wait(store):
            dying = hit(store, "layers")
            assert layer.release() == []
        assert dying.join(60)
        assert set(store.map()) == {layer.chain_id}, "the other has it"
    wait_until(lambda: store.map() == {})
    assert store.check() == []


def test_what_was_given_up_goes_once_actors_are_made_anew_though_nobody_asks(
    open_store: OpenStore,
) -> None:
    store = open_store()
    layer = store.register(layer_tar({"a": b"1"}))
    retained = store._core.actors.retained.layers
    retained.forsaken.add(layer.chain_id)  # as when an actor dies just before it removes a layer
    retained.held.clear()
    retained.made.clear()
    last = store._core.actors.number
    assert hit(store, "layers").join(60)
    wait_until(lambda: store._core.actors.number > last)
    home = f"{store.root}/image/{store.driver_name}/layerdb/sha256"
    wait_until(lambda: os.listdir(home) == [])


def test_a_reference_that_is_given_back_to_be_kept_leaves_the_layer(open_store: OpenStore) -> None:
    with open_store() as store:
        base = store.register(layer_tar({"a": b"1"}))
        top = store.register(layer_tar({"b": b"1"}), base.chain_id)
        assert [layer.release(keep=True) for layer in (base, top)] == [[], []]
        assert [one.references for one in store.map().values()] == [1, 0]
        with pytest.raises(LayerNotRetained):
            top.release(keep=True)
        again = store.get(top.chain_id)
        assert again.release(keep=True) == []
    with open_store() as store:
        gone = store.get(top.chain_id).release()
        assert [one.chain_id for one in gone] == [top.chain_id, base.chain_id]
        assert store.map() == {}


def test_what_others_have_let_go_isnt_kept_by_who_keeps_it(store: LayerStore, layer: Layer) -> None:
    other = store.get(layer.chain_id)
    assert layer.release() == []
    assert other.release(keep=True) == []
    wait_until(lambda: store.map() == {})
    assert store.check() == []


def test_who_keeps_beside_one_who_lets_go_hides_nothing(store: LayerStore, layer: Layer) -> None:
    other = store.get(layer.chain_id)
    assert other.release(keep=True) == []
    assert [gone.chain_id for gone in layer.release()] == [layer.chain_id]
    assert store.map() == {}


@pytest.mark.root
def test_what_could_not_be_removed_twice_is_removed_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(workers=2)
    other = store.register(layer_tar({"other": b"1"}))
    store.get(other.chain_id).release()
    (image,) = store.images.load(io.BytesIO(as_tar(docker_archive([layer_tar({"a": b"1"})]))))
    (chain,) = set(store.map()) - {other.chain_id}

    def fail(*_arguments: object, **_options: object) -> None:
        raise StorageFull("create", store.root, errno.ENOSPC)

    with broken_trash(store):
        with pytest.raises(DriverError):
            store.images.remove(image.id, force=True)
        with monkeypatch.context() as patched:
            patched.setattr(store._core.disk.driver, "create_read_write", fail)
            with pytest.raises(DriverError):
                store.create_rw_layer("vain", chain)
        wait_until(lambda: "could not be removed" in caplog.text)
        caplog.clear()
    other.release()
    with pytest.raises(LayerDoesNotExist):
        store.get(other.chain_id)
    # To give back what is gone has all tried again that could not be removed.
    assert [gone.chain_id for gone in other.release()] == [chain]
    assert store.map() == {}
    store.close()
    assert "could not be removed" not in caplog.text


@contextlib.contextmanager
def broken_trash(store: LayerStore) -> Iterator[None]:
    """Nothing can be moved into the trash for the length of a block."""
    trash = Path(store.root, "layerstore/trash")
    kept = trash.rename(trash.with_suffix(".kept"))
    trash.touch()
    try:
        yield
    finally:
        trash.unlink()
        kept.rename(trash)
