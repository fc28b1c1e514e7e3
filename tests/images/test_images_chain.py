"""Images of many layers, which are unpacked side by side where the driver allows it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from layerstore import IntegrityError, InvalidImage, LayerStore, LayerStoreError
from layerstore.actors import messages as m
from tests.images.samples import files_of
from tests.support.archives import as_tar, docker_archive, oci_layout
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread

pytestmark = pytest.mark.usefixtures("nothing_is_left")

COUNT = 8


def layer(number: int, word: str = "") -> bytes:
    """Return a layer that hides a file of the one beneath, and makes two."""
    below = {f"d/.wh.gone{number - 1}": b""} if number else {}
    name = f"{number}{word}"
    return layer_tar({**below, f"d/gone{number}": b"1", f"d/kept{name}": name.encode()})


LAYERS = [layer(number) for number in range(COUNT)]


def kept(*names: str) -> dict[str, bytes]:
    return {f"d/kept{name}": name.encode() for name in names}


def broken(members: dict[str, bytes]) -> None:
    members["4/layer.tar"] = b"no tar at all" * 100


def other_layer(members: dict[str, bytes]) -> None:
    members["4/layer.tar"] = layer(4, "other")


@pytest.mark.parametrize(
    ("spoil", "raised"), [(broken, InvalidImage), (other_layer, IntegrityError)]
)
@pytest.mark.parametrize("watched", [False, True])
def test_a_layer_in_the_middle_that_is_none_is_named(
    store: LayerStore,
    spoil: Callable[[dict[str, bytes]], None],
    raised: type[LayerStoreError],
    watched: bool,
) -> None:
    members = docker_archive(LAYERS)
    spoil(members)
    seen: list[str] = []
    progress = (lambda what, _done, _total: seen.append(what)) if watched else None
    with pytest.raises(raised, match=r"layer 4/layer\.tar in the stream"):
        store.images.load(io.BytesIO(as_tar(members)), progress=progress)


def test_every_layer_is_told_to_the_end_whoever_unpacks_it(store: LayerStore) -> None:
    layers = [*LAYERS[:4], layer_tar({"large": os.urandom(3 << 20)}), LAYERS[4]]
    told: dict[str, list[tuple[int, int]]] = {}
    (image,) = store.images.load(
        io.BytesIO(as_tar(oci_layout(layers, {"io.containerd.image.name": "long:1"}))),
        progress=lambda what, done, total: told.setdefault(what, []).append((done, total)),
    )
    of_layers = {what: steps for what, steps in told.items() if what != "the stream"}
    assert [steps[-1] for steps in of_layers.values()] == [(len(one),) * 2 for one in layers]
    assert len(list(of_layers.values())[4]) > 3
    assert [what for what in told if what != "the stream"] == [
        store.map()[chain].diff_id[7:19] for chain in image.layers
    ]
    store.images.remove("long:1")


def test_two_that_are_loaded_at_once_share_their_layers(store: LayerStore) -> None:
    mine = [*LAYERS[:6], layer(6, "mine"), layer(7, "mine")]
    outcomes: list[object] = []
    archives = [
        as_tar(docker_archive(layers, [name]))
        for layers, name in ((LAYERS, "one:1"), (mine, "two:1"))
    ]
    threads = [
        in_thread(lambda data=data: store.images.load(io.BytesIO(data)), outcomes)  # type: ignore[misc]
        for data in archives
    ]
    for thread in threads:
        thread.join(60)
    assert [type(one).__name__ for one in outcomes] == ["list", "list"], outcomes
    last = {"d/gone7": b"1"}
    assert files_of(store, "one:1") == kept(*map(str, range(8))) | last
    assert files_of(store, "two:1") == kept(*map(str, range(6)), "6mine", "7mine") | last
    assert len(store.map()) == COUNT + 2
    facts: m.PoolFacts = store.core.call(store.core.actors.pool, m.PoolStatus())
    unpacked = sum(tally.count for tally in facts.jobs if tally.kind == "ApplyLayer")
    assert (
        unpacked == COUNT + 2 or store.core.disk.driver.copies or len(os.sched_getaffinity(0)) == 1
    )
    for name in ("one:1", "two:1"):
        store.images.remove(name)
