"""What lies on a layer that comes to nothing comes to nothing, too, whoever wants it."""

from __future__ import annotations

import os
import tempfile

import pytest

from layerstore import IntegrityError, InvalidTar, Layer, LayerDoesNotExist, LayerStore, Limits
from layerstore.actors import messages as m
from layerstore.drivers.errors import InvalidArgument, JobCancelled
from layerstore.drivers.model.ids import ChainID, chain_of, diff_id
from layerstore.drivers.work import OwnedDescriptor, TarSource
from tests.actors.ahead.chain import (
    BLIND,
    CHAIN,
    begin,
    begin_all,
    jobs,
    names,
    outcome,
    unpacked,
)
from tests.conftest import OpenStore
from tests.store.test_giving_up import nothing_is_left
from tests.support.tars import layer_tar
from tests.support.waiting import Held, held, wait_until

pytestmark = pytest.mark.root
MAX_DEPTH = Limits().max_layers


@pytest.mark.parametrize("broken", [0, 2])
def test_what_lies_on_a_layer_that_fails_fails_with_it(store: LayerStore, broken: int) -> None:
    wrong = f"sha256:{'0' * 64}"
    parent: ChainID | None = None
    laters = []
    for number, data in enumerate(CHAIN):
        diff = wrong if number == broken else names([data])[0][2]
        laters.append(begin(store, data, parent, diff))
        parent = chain_of(parent, diff_id(diff))
    came = [outcome(later) for later in laters]
    assert all(isinstance(one, Layer) for one in came[:broken])
    assert isinstance(came[broken], IntegrityError)
    above = came[broken + 1 :]
    assert all(isinstance(one, LayerDoesNotExist) for one in above), above
    nothing_is_left(store, layers=broken)
    for one in reversed(came[:broken]):
        assert isinstance(one, Layer)
        one.release()
    nothing_is_left(store)


def test_what_fails_as_its_parent_is_thrown_away_is_told_so(open_store: OpenStore) -> None:
    store = open_store(workers=0)
    metadata = store.core.disk.metadata
    waits, discard = Held(), metadata.discard

    def discard_first(transaction: str, trash: str) -> None:
        if not waits.inside.is_set():
            waits()
        discard(transaction, trash)

    metadata.discard = discard_first  # type: ignore[method-assign]
    tars = (b"no tar at all", BLIND)
    laters = begin_all(store, tars[:1])
    assert waits.inside.wait(60)  # its directory is gone, and the registry doesn't know it
    laters.append(begin(store, BLIND, names(tars)[0][1]))
    wait_until(lambda: jobs(store, failed=True)["CreateLayer"] == 1)
    waits.go_on.set()
    kinds = [type(outcome(later)) for later in laters]
    assert kinds == [InvalidTar, LayerDoesNotExist]
    assert names(tars)[0][1] in str(outcome(laters[1]))
    nothing_is_left(store)


def test_the_deepest_chain_fails_as_a_whole(store: LayerStore) -> None:
    waits = held(store.core.disk.driver, "create")
    laters = begin_all(store, [layer_tar({f"f{number}": b""}) for number in range(MAX_DEPTH)])
    assert waits.inside.wait(60)
    laters[0].abandon()
    kinds = {type(outcome(later)) for later in laters[1:]}
    waits.go_on.set()
    assert kinds == {LayerDoesNotExist}
    assert isinstance(outcome(laters[0]), JobCancelled)
    nothing_is_left(store)


@pytest.mark.parametrize(("given_up", "workers"), [(0, 2), (1, 0), (2, 1), (3, 2)])
def test_given_up_in_the_middle_nothing_half_made_stays(
    open_store: OpenStore, workers: int, given_up: int
) -> None:
    store = open_store(workers=workers)
    waits = held(store.core.disk.metadata, "commit_layer")
    laters = begin_all(store, CHAIN)
    wait_until(lambda: unpacked(store, names(CHAIN)[1][2]))
    assert waits.inside.wait(60)
    laters[given_up].abandon()
    waits.go_on.set()
    came = [outcome(later) for later in laters]
    assert isinstance(came[given_up], JobCancelled)
    for number, one in enumerate(came):
        if number < given_up:
            assert isinstance(one, Layer)
    left = [one for one in came if isinstance(one, Layer)]
    for one in reversed(left):
        one.release()
    nothing_is_left(store)


def test_whose_maker_gives_up_is_made_by_the_next_who_wants_it(
    store: LayerStore, committing: Held
) -> None:
    first, second = begin_all(store, CHAIN[:3]), begin_all(store, CHAIN)
    assert committing.inside.wait(60)
    for later in reversed(first[1:]):
        later.abandon()
    committing.go_on.set()
    came = [outcome(later) for later in second]
    assert isinstance(came[0], Layer)
    assert isinstance(came[1], Layer)  # begun anew
    # On what was never there: whoever wants it asks again.
    assert isinstance(came[2], LayerDoesNotExist | Layer)
    for one in (*reversed(came), first[0].get(timeout=60)):
        if isinstance(one, Layer):
            one.release()
    nothing_is_left(store)


@pytest.mark.parametrize("lie", ["no diff ID", "no end"])
def test_what_others_would_wait_for_in_vain_is_refused(store: LayerStore, lie: str) -> None:
    with tempfile.TemporaryFile() as spool:
        source = m.Register(
            reference=store.core.new_reference(),
            parent=None,
            descriptor=None,
            source=TarSource(
                size=None if lie == "no end" else 512,
                expected_diff_id=None if lie == "no diff ID" else names(CHAIN)[0][2],
            ),
            descriptors=(OwnedDescriptor(os.dup(spool.fileno())),),
            ahead=True,
        )
        with pytest.raises(InvalidArgument):
            store.core.call(store.core.actors.layers, source)
    nothing_is_left(store)
