"""Layers that are registered ahead from streams, which threads hand in."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import pytest

from layerstore import CallerError, Layer, LayerDoesNotExist, LayerStore
from layerstore.asking.later import Later
from layerstore.asking.source import Pump, Readable
from layerstore.drivers.errors import JobCancelled
from layerstore.drivers.model.ids import diff_id
from layerstore.images.ahead import begin_ahead
from tests.actors.ahead.chain import CHAIN, names, outcome
from tests.store.test_giving_up import nothing_is_left
from tests.support.tars import many_files

pytestmark = pytest.mark.root


def begun(store: LayerStore, sources: Sequence[Readable]) -> list[tuple[Later[Layer], Pump]]:
    """Begin a chain, whose layers come from these."""
    found = []
    for source, data, (parent, _, diff) in zip(sources, CHAIN, names(CHAIN), strict=True):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        later, pump = begin_ahead(store, source, parent, diff_id(diff), expected_digest=digest)
        assert pump is not None
        found.append((later, pump))
    return found


def test_the_topmost_may_come_first(store: LayerStore) -> None:
    chain = begun(store, [io.BytesIO(data) for data in CHAIN])
    for _, pump in reversed(chain):
        pump.run(lambda: None)
    layers = [outcome(later) for later, _ in chain]
    assert [isinstance(layer, Layer) and layer.chain_id for layer in layers] == [
        chain_id for _, chain_id, _ in names(CHAIN)
    ]
    for layer in reversed(layers):
        assert isinstance(layer, Layer)
        layer.release()
    nothing_is_left(store)


class Breaks:
    """Gives a part of a tar, and then fails."""

    def __init__(self, content: bytes) -> None:
        self._left = [content[: len(content) // 2]]

    def read(self, _size: int, /) -> bytes:
        if self._left:
            return self._left.pop()
        raise ConnectionResetError("cut")


def test_a_stream_that_breaks_leaves_nothing_and_those_on_it_fail(store: LayerStore) -> None:
    chain = begun(store, [Breaks(many_files(50)), *(io.BytesIO(data) for data in CHAIN[1:])])
    with pytest.raises(CallerError, match="cut"):
        chain[0][1].run(lambda: None)
    assert isinstance(outcome(chain[0][0]), JobCancelled)
    for later, pump in chain[1:]:
        pump.run(lambda: None)  # nobody reads what is no use any more
        assert isinstance(outcome(later), LayerDoesNotExist)
    nothing_is_left(store)


def test_who_abandons_them_has_nothing_left(store: LayerStore) -> None:
    chain = begun(store, [io.BytesIO(data) for data in CHAIN])
    chain[1][1].run(lambda: None)
    for later, _ in reversed(chain):
        later.abandon()
    for _, pump in (chain[0], *chain[2:]):
        pump.run(lambda: None)  # which nobody reads any more
    store.drain()
    nothing_is_left(store)
