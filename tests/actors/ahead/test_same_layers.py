"""Layers that are registered before their parents are there are the same as after that."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerstore import Layer, LayerStore, LayerStoreError
from layerstore.drivers.model.tree import Applied
from tests.actors.ahead.chain import (
    BASE,
    CHAIN,
    begin_all,
    jobs,
    names,
    outcome,
    unpacked,
    what_is_kept,
)
from tests.conftest import OpenStore
from tests.store.test_giving_up import nothing_is_left
from tests.support.waiting import Held, wait_until
from tests.tar.corpus.builder import Member, file, tar
from tests.tar.test_both_formats import MEMBER

pytestmark = pytest.mark.root

EXAMPLES = max(5, settings().max_examples // 10)
"""As many chains as are worth the time that making them twice takes."""


@settings(max_examples=EXAMPLES)
@given(layers=st.lists(st.lists(MEMBER, min_size=1, max_size=5), min_size=2, max_size=4))
def test_layers_are_the_same_as_one_after_the_other(
    store: LayerStore, layers: list[list[Member]]
) -> None:
    # The lower, the longer it takes, and what matters comes last.
    tars = [
        tar(*(file(f"{n}-{m}") for m in range(64 >> n)), *members)
        for n, members in enumerate(layers)
    ]
    since = time.time_ns() - 10**10
    with contextlib.ExitStack() as held_here:
        wanted: list[object] = []
        for data, (parent, _, _) in zip(tars, names(tars), strict=True):
            try:
                layer = store.register(data, parent)
            except LayerStoreError as error:
                wanted.append((type(error), str(error)))
                break
            held_here.callback(layer.release)
            wanted.append(what_is_kept(layer, store, since))
    assert store.map() == {}
    with contextlib.ExitStack() as held_here:
        found: list[object] = []
        for later in begin_all(store, tars):
            came = outcome(later)
            if isinstance(came, Layer):
                held_here.callback(came.release)
                found.append(what_is_kept(came, store, since))
            else:
                found.append((type(came), str(came)))
        assert found[: len(wanted)] == wanted
    assert store.map() == {}


def test_what_asks_nothing_of_lower_layers_is_unpacked_before_they_are_filled(
    open_store: OpenStore,
) -> None:
    store = open_store(workers=0)
    driver = store.core.disk.driver
    waits, fill = Held(), driver.apply_diff

    def apply_diff(layer_id: str, parent: str | None, source: BinaryIO, **how: Any) -> Applied:
        if parent is None:
            waits()
        return fill(layer_id, parent, source, **how)

    driver.apply_diff = apply_diff  # type: ignore[method-assign]
    base, blind, asks, top = begin_all(store, CHAIN)
    assert waits.inside.wait(60)
    wait_until(lambda: unpacked(store, names(CHAIN)[1][2]))
    assert store.map() == {}
    assert not unpacked(store, names(CHAIN)[2][2])
    assert not unpacked(store, names(CHAIN)[3][2])
    waits.go_on.set()
    layers = [later.get(timeout=60) for later in (base, blind, asks, top)]
    rw = store.create_rw_layer("look", layers[-1].chain_id)
    with rw.mounted() as path:
        assert sorted(os.listdir(f"{path}/d")) == ["kept", "new"]
        assert sorted(os.listdir(f"{path}/e")) == ["x", "y"]
    rw.release()
    upper = layers[2].metadata()["UpperDir"]
    assert sorted(os.listdir(f"{upper}/d")) == ["gone", "new"]
    for layer in reversed(layers):
        layer.release()
    nothing_is_left(store)


def test_layers_are_committed_in_order_though_all_is_unpacked(
    store: LayerStore, committing: Held
) -> None:
    laters = begin_all(store, CHAIN)
    wait_until(lambda: jobs(store)["ApplyLayer"] == len(CHAIN))
    assert all(unpacked(store, diff) for _, _, diff in names(CHAIN)[1:])
    assert (jobs(store)["CommitLayer"], store.map()) == (0, {})
    committing.go_on.set()
    layers = [later.get(timeout=60) for later in laters]
    commits = [record.summary for record in store.trace() if record.kind == "CommitLayer"]
    assert commits == [layer.chain_id[:19] for layer in layers]
    for layer in reversed(layers):
        layer.release()
    nothing_is_left(store)


def test_layers_are_found_that_are_there_already(store: LayerStore) -> None:
    there = store.register(BASE)
    base, blind = begin_all(store, CHAIN[:2])
    for layer in (blind.get(timeout=60), base.get(timeout=60), there):
        layer.release()
    assert jobs(store)["ApplyLayer"] == 2
    nothing_is_left(store)


def test_who_wants_a_layer_that_is_on_its_way_waits_for_it(
    store: LayerStore, committing: Held
) -> None:
    first, second = begin_all(store, CHAIN), begin_all(store, CHAIN)
    assert committing.inside.wait(60)
    plain = store.later.register(BASE)
    committing.go_on.set()
    layers = [later.get(timeout=60) for later in (*first, *second)]
    assert plain.get(timeout=60).chain_id == layers[0].chain_id
    plain.get().release().get(timeout=60)
    assert jobs(store)["CommitLayer"] == len(CHAIN)
    assert jobs(store)["ApplyLayer"] == len(CHAIN) + 1
    for layer in reversed(layers):
        layer.release()
    nothing_is_left(store)


def test_each_layer_is_made_by_its_own_request(open_store: OpenStore) -> None:
    store = open_store(prespawn=False)
    for layer in reversed([later.get(timeout=60) for later in begin_all(store, CHAIN)]):
        layer.release()
    made = ("CreateLayer", "ApplyLayer", "CommitLayer")
    records = store.trace()
    by_request: dict[int, list[str]] = {r.request: [] for r in records if r.kind == "Register"}
    for record in records:
        if record.kind in made:
            by_request[record.request].append(record.kind)
    assert [sorted(kinds) for kinds in by_request.values()] == [sorted(made)] * len(CHAIN)
