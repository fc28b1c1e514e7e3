"""References that are taken to a layer which others have: unheard, and yet as if asked for."""

from __future__ import annotations

import pytest

from layerstore import Layer, LayerDoesNotExist, LayerMetadata, LayerStore
from layerstore.actors import messages as m
from layerstore.asking.later import Later
from layerstore.asking.requests import New, Request
from layerstore.operations.declared.store import create_rw_layer, release
from tests.actors.dying import hit, kill
from tests.actors.held_up import chains, layers_wait
from tests.conftest import OpenStore
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until


def wanted(store: LayerStore) -> Layer:
    """Register a layer that is wanted so often that many may take it unheard; it is held once."""
    layer = store.register(layer_tar({"a": b"1"}))
    more = [store.get(layer.chain_id) for _ in range(40)]
    assert [one.release() for one in more] == [[]] * len(more)
    assert store.map()[layer.chain_id].references == 1
    return layer


def unheard(store: LayerStore, chain: str) -> Layer:
    """Take a reference; only where nobody is asked for it."""
    actors = store._core.actors
    taken: list[m.LayerMetadata | None] = []
    take = actors.take

    def noting(get: m.GetLayer) -> m.LayerMetadata | None:
        taken.append(take(get))
        return taken[-1]

    actors.take = noting  # type: ignore[method-assign]
    try:
        layer = store.get(chain)
    finally:
        actors.take = take  # type: ignore[method-assign]
    assert taken != [None]
    return layer


def asked_back(store: LayerStore, layer: Layer) -> Later[list[LayerMetadata]]:
    """Give a reference back with an answer to come, which is begun even where nobody handles it."""
    return store._core.begin(release(layer))


@pytest.fixture
def layer(store: LayerStore) -> Layer:
    return wanted(store)


def test_nobody_is_waited_for(store: LayerStore, layer: Layer) -> None:
    with layers_wait(store):
        taken = [store.get(layer.chain_id) for _ in range(10)]
    facts = {(one.chain_id, one.diff_id, one.size, one.parent) for one in (layer, *taken)}
    assert facts == {(layer.chain_id, layer.diff_id, layer.size, None)}
    assert store.map()[layer.chain_id].references == 11
    assert [one.release() for one in taken] == [[]] * 10
    assert chains([layer.release()]) == [[layer.chain_id]]
    with pytest.raises(LayerDoesNotExist):
        store.get(layer.chain_id)


def test_however_many_want_it_none_goes_without(store: LayerStore, layer: Layer) -> None:
    """Where leave is spent, whoever comes next is heard, and there is more for those after him."""
    outcomes: list[object] = []
    held: list[Layer] = []

    def take() -> None:
        held.extend([store.get(layer.chain_id) for _ in range(1000)])

    for thread in [in_thread(take, outcomes) for _ in range(4)]:
        thread.join(60)
    assert store.map()[layer.chain_id].references == 4001
    assert {tuple(one.release()) for one in held} == {()}
    assert chains([layer.release()]) == [[layer.chain_id]]


def test_what_is_taken_before_it_is_given_back_stays(store: LayerStore, layer: Layer) -> None:
    with layers_wait(store):
        taken = unheard(store, layer.chain_id)
        asked = asked_back(store, layer)
    assert asked.get(timeout=60) == []
    assert chains([taken.release()]) == [[layer.chain_id]]


def test_what_is_taken_while_the_last_is_given_back_is_kept(
    store: LayerStore, layer: Layer
) -> None:
    with layers_wait(store):
        asked = asked_back(store, layer)
        taken = unheard(store, layer.chain_id)
    assert asked.get(timeout=60) == []
    assert store.map()[layer.chain_id].references == 1
    assert chains([taken.release()]) == [[layer.chain_id]]


def test_of_all_who_take_and_give_back_one_hears_that_it_went(
    store: LayerStore, layer: Layer
) -> None:
    with layers_wait(store):
        asked = asked_back(store, layer)
        # By leave that the taken one brought along: the other is still there.
        assert unheard(store, layer.chain_id).release() == []
    assert chains([asked.get(timeout=60)]) == [[layer.chain_id]]
    assert store.map() == {}


def test_one_who_gives_up_doesnt_hide_that_the_last_was_taken(
    store: LayerStore, layer: Layer
) -> None:
    asked = store.later.get(layer.chain_id)
    asked.get(timeout=60)
    assert layer.release() == []
    with layers_wait(store):
        asked.abandon()
        taken = unheard(store, layer.chain_id)
    assert store.map()[layer.chain_id].references == 1
    assert chains([taken.release()]) == [[layer.chain_id]]


@pytest.mark.parametrize("is_kept", [False, True])
def test_it_is_kept_by_a_layer_upon_it_all_the_same(
    store: LayerStore, layer: Layer, is_kept: bool
) -> None:
    top = store.register(layer_tar({"b": b"1"}), layer.chain_id)
    with layers_wait(store):
        first = asked_back(store, layer)
        second = asked_back(store, top)
        taken = unheard(store, layer.chain_id) if is_kept else None
    assert first.get(timeout=60) == []
    gone = chains([second.get(timeout=60)])
    assert gone == [[top.chain_id] if is_kept else [top.chain_id, layer.chain_id]]
    if taken is not None:
        assert chains([taken.release()]) == [[layer.chain_id]]
    assert store.map() == {}


def test_a_read_write_layer_is_made_on_what_was_just_taken(store: LayerStore, layer: Layer) -> None:
    taken = unheard(store, layer.chain_id)
    assert layer.release() == []
    rw = store.create_rw_layer("web", taken.chain_id)
    assert taken.release() == []
    assert chains([rw.release()]) == [[layer.chain_id]]


def test_what_was_taken_is_held_though_the_actor_dies_first(open_store: OpenStore) -> None:
    store = open_store()
    layer = wanted(store)
    with layers_wait(store):
        dying = hit(store, "layers")
        taken, gone = unheard(store, layer.chain_id), unheard(store, layer.chain_id)
        assert gone.release() == []
        assert layer.release() == []
    assert dying.join(60)
    assert store.map()[layer.chain_id].references == 1
    assert chains([taken.release()]) == [[layer.chain_id]]
    assert store.check() == []


def test_leave_of_those_who_died_is_void(open_store: OpenStore) -> None:
    store = open_store()
    layer = wanted(store)
    retained = store._core.actors.retained.layers
    lent = retained.lent[layer.chain_id]
    assert lent.leave
    kill(store, "layers")
    assert not lent.leave
    assert not lent.to_give_back
    assert retained.lent == {}
    again = store.get(layer.chain_id)
    assert layer.release() == []
    assert chains([again.release()]) == [[layer.chain_id]]


def test_it_is_traced_as_any_other(store: LayerStore, layer: Layer) -> None:
    taken = unheard(store, layer.chain_id)
    store.map()
    record = [one for one in store.trace() if one.kind == "GetLayer"][-1]
    assert (record.sender, record.receiver, record.outcome) == ("caller", "layers", "ok")
    assert record.summary == layer.chain_id[:19]
    assert taken.release() == []


@pytest.mark.parametrize("give_up", [False, True])
def test_of_a_layer_that_comes_and_goes_somebody_hears_each_time(
    open_store: OpenStore, give_up: bool
) -> None:
    store = open_store(trace_size=100_000)
    gone: list[LayerMetadata] = []
    many, rounds, turns = 6, 20, 20

    def come_and_go() -> None:
        for _ in range(rounds):
            layer = store.register(layer_tar({"a": b"1"}))
            for _ in range(turns):
                take_and_give_back(layer.chain_id)
            gone.extend(layer.release())

    def take_and_give_back(chain: str) -> None:
        if give_up:
            later = store.later.get(chain)
            later.get(timeout=60)
            later.abandon()
        gone.extend(store.get(chain).release())

    outcomes: list[object] = []
    for thread in [in_thread(come_and_go, outcomes) for _ in range(many)]:
        thread.join(60)
    assert outcomes == [None] * many
    wait_until(lambda: store.map() == {})
    assert store.check() == []
    removed = [one for one in store.trace() if one.kind == "RemoveLayer"]
    told = [one.cache_id for one in gone]
    assert len(set(told)) == len(told)
    # Who gives up hears nothing, though it was the last.
    assert len(told) <= len(removed) if give_up else len(told) == len(removed)


@pytest.mark.parametrize("kind", ["layer", "read-write layer"])
def test_who_is_interrupted_on_the_way_back_has_nothing(
    store: LayerStore, layer: Layer, kind: str
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    core = store._core
    reference, chain = core.new_reference(), layer.chain_id
    asked: Request[None]
    if kind == "layer":
        asked = Request("layers", m.GetLayer(reference=reference, chain_id=chain), interrupt)
    else:
        made = create_rw_layer(New(reference, store.get_rw_layer), "web", chain)
        asked = Request("mounts", made.message, interrupt)
    with pytest.raises(KeyboardInterrupt):
        core.ask(asked)
    wait_until(lambda: store.map()[chain].references == 1)
    assert store.mounts() == []
