"""The trace: what was said between the actors, and why."""

from __future__ import annotations

import itertools

import pytest

from layerstore import LayerDoesNotExist, TraceRecord
from tests.conftest import OpenStore
from tests.tars import layer_tar


def caused_by(records: list[TraceRecord], cause: TraceRecord) -> list[TraceRecord]:
    return [record for record in records if record.cause == cause.sequence]


def test_the_causal_chain_of_a_removal_can_be_read(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"})).chain_id
    store.create_rw_layer("web", base).release()
    store.mounts()  # answered after the message that the release ended with was kept
    records = store.trace()
    (release,) = [record for record in records if record.kind == "ReleaseRWLayer"]
    assert (release.receiver, release.summary, release.outcome) == ("mounts", "web", "pending")
    chain = [release]
    while following := caused_by(records, chain[-1]):
        wanted = [record for record in following if record.kind not in {"Sweep", "Finished"}]
        if not wanted:
            break
        chain.append(wanted[0])
    assert [(record.kind, record.receiver) for record in chain[:4]] == [
        ("ReleaseRWLayer", "mounts"),
        ("Submit", "pool"),
        ("Run", chain[2].receiver),
        ("Done", "mounts"),
    ]
    assert chain[1].summary.startswith("RemoveMount web ")
    assert chain[2].receiver.startswith("pool-worker-")
    assert [record.kind for record in chain[4:]] == ["DropLayer", "Done"]
    assert {record.request for record in chain} == {release.sequence}
    for record in chain:
        assert record.enqueued <= record.started <= record.ended
    for earlier, later in itertools.pairwise(chain):
        assert earlier.started <= later.enqueued


def test_a_refusal_is_the_outcome_of_its_message(open_store: OpenStore) -> None:
    store = open_store()
    missing = "sha256:" + "0" * 64
    with pytest.raises(LayerDoesNotExist):
        store.get(missing)
    (refusal,) = [record for record in store.trace() if record.kind == "GetLayer"]
    assert refusal.outcome == "LayerDoesNotExist"


def test_the_ring_forgets_the_oldest(open_store: OpenStore) -> None:
    store = open_store(trace_size=5, prespawn=False)
    for _ in range(20):
        store.map()
    assert [record.kind for record in store.trace()] == ["MapLayers"] * 5


def test_tracing_can_be_off(open_store: OpenStore) -> None:
    store = open_store(trace_size=0)
    store.create_rw_layer("web").release()
    assert store.trace() == []
