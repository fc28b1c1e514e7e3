"""One found among many: by the start of its ID, by its tar, and how many there are."""

from __future__ import annotations

import io
import itertools
import math
import threading
from collections import defaultdict
from collections.abc import Iterable

import pytest

from layerstore import (
    AmbiguousName,
    ImageDoesNotExist,
    InvalidName,
    LayerDoesNotExist,
    LayerStore,
    MountDoesNotExist,
)
from layerstore.actors import messages as m
from layerstore.actors.books.index import OrderedIds
from layerstore.drivers.model.ids import ChainID, diff_id
from tests.conftest import OpenStore
from tests.support.archives import as_tar, config_of, digest_of, docker_archive
from tests.support.tars import layer_tar
from tests.support.ways.marks import CALLS_BACK

_MORE_THAN_DIGITS = 17
"""Of so many IDs two begin with the same hex digit."""


def common_start(ids: Iterable[str]) -> tuple[str, str, str]:
    """Return two of several IDs, and the most that both begin with; of those that share most."""
    ordered = sorted(ids)
    first, second = max(itertools.pairwise(ordered), key=lambda pair: _shared(*pair))
    return first, second, first[: _shared(first, second)]


def _shared(one: str, other: str) -> int:
    """Return how many characters two begin with that are the same."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=True))
    return len(list(pairs))


def longest_of(start: str, one: str) -> str:
    """Return what is one digit more of an ID than a start."""
    return one[: len(start) + 1]


def test_a_read_write_layer_is_found_by_as_much_of_its_id_as_no_other_has(
    store: LayerStore,
) -> None:
    made = {
        store.create_rw_layer(f"rw-{number}").mount_id: f"rw-{number}"
        for number in range(_MORE_THAN_DIGITS)
    }
    first, second, start = common_start(made)
    for one in (first, second):
        for asked in (longest_of(start, one), one[:-1], one):
            assert store.find_rw_layer(asked).name == made[one]
    with pytest.raises(AmbiguousName, match=r"\d read-write layers have IDs that start so"):
        store.find_rw_layer(start[:1])
    found = store.find_rw_layer(first)
    assert found == next(mount for mount in store.mounts() if mount.mount_id == first)
    store.get_rw_layer(made[second]).release()
    store.get_rw_layer(made[first])


def test_a_read_write_layer_that_is_removed_leaves_its_ids_start_to_others(
    open_store: OpenStore,
) -> None:
    store = open_store()
    made = {f"rw-{n}": store.create_rw_layer(f"rw-{n}") for n in range(_MORE_THAN_DIGITS)}
    names = {rw.mount_id: name for name, rw in made.items()}
    first, second, start = common_start(names)
    for name, rw in made.items():
        if name != names[second]:
            rw.release()
    assert store.find_rw_layer(start).mount_id == second
    with pytest.raises(MountDoesNotExist, match=first):
        store.find_rw_layer(first)
    assert store.count_rw_layers() == 1
    assert store.metrics().restarts == 0, "nobody's books were in need of being made anew"
    store.close()
    again = open_store()
    assert again.find_rw_layer(start).name == names[second]
    assert again.count_rw_layers() == 1


@CALLS_BACK
def test_a_read_write_layer_is_found_once_it_is_made(store: LayerStore) -> None:
    begun, going_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        begun.set()
        assert going_on.wait(60)

    making = store.later.create_rw_layer("web", init=init)
    assert begun.wait(60)
    (mount,) = store.mounts()
    with pytest.raises(MountDoesNotExist):
        store.find_rw_layer(mount.mount_id)
    assert store.count_rw_layers() == 1
    going_on.set()
    making.get(timeout=60)
    assert store.find_rw_layer(mount.mount_id).name == "web"


def test_a_layer_is_found_by_as_much_of_its_chain_id_as_no_other_has(
    open_store: OpenStore,
) -> None:
    store = open_store()
    layers = [store.register(layer_tar({"n": str(n).encode()})) for n in range(_MORE_THAN_DIGITS)]
    by_digits = {layer.chain_id.removeprefix("sha256:"): layer for layer in layers}
    first, second, start = common_start(by_digits)
    facts = store.map()
    for one in (first, second):
        for asked in (longest_of(start, one), one, f"sha256:{one}", f"sha256:{one[:-1]}"):
            assert store.find_layer(asked) == facts[by_digits[one].chain_id]
    with pytest.raises(AmbiguousName, match=r"\d layers have IDs that start so"):
        store.find_layer(f"sha256:{start[:1]}")
    assert store.count_layers() == len(layers)
    by_digits[first].release()
    with pytest.raises(LayerDoesNotExist, match=first):
        store.find_layer(first)
    top = store.register(layer_tar({"top": b""}), by_digits[second].chain_id)
    assert store.count_layers() == len(layers)
    assert store.metrics().restarts == 0
    store.close()
    again = open_store()
    assert again.find_layer(top.chain_id).parent == by_digits[second].chain_id
    assert again.find_layer(longest_of(start, second)).chain_id == by_digits[second].chain_id
    assert again.count_layers() == len(layers)


@pytest.mark.parametrize(
    "start", ["", "sha256:", "web", "ABCD", "a" * 65, "abc ", "abc\n", "\udcff"]
)
def test_what_is_no_start_of_an_id_is_refused(store: LayerStore, start: str) -> None:
    with pytest.raises(InvalidName, match="hex digits"):
        store.find_layer(start)
    with pytest.raises(InvalidName, match="hex digits"):
        store.find_rw_layer(start)


def test_nothing_is_found_where_nothing_is(store: LayerStore) -> None:
    with pytest.raises(LayerDoesNotExist, match="layer abcd does not exist"):
        store.find_layer("sha256:abcd")
    with pytest.raises(MountDoesNotExist, match="mount abcd does not exist"):
        store.find_rw_layer("abcd")
    counts = store.count_layers(), store.count_rw_layers(), store.images.count()
    assert counts == (0, 0, 0)


def load(store: LayerStore, author: str) -> str:
    archive = docker_archive([layer_tar({"a": b"1"})], [], author=author)
    (image,) = store.images.load(io.BytesIO(as_tar(archive)))
    return image.id


def test_of_an_images_id_as_much_decides_as_no_other_has(store: LayerStore) -> None:
    beginning = defaultdict(list)
    for number in range(_MORE_THAN_DIGITS):
        digest = digest_of(config_of([layer_tar({"a": b"1"})], author=str(number)))
        beginning[digest.removeprefix("sha256:")[:1]].append(str(number))
    start, authors = next((s, them) for s, them in beginning.items() if len(them) > 1)
    ids = [load(store, author) for author in authors]
    assert store.images.count() == len(ids)
    with pytest.raises(AmbiguousName, match=f"{len(ids)} images have IDs that start so"):
        store.images.get(start)
    for gone in ids[1:]:
        store.images.remove(gone)
        with pytest.raises(ImageDoesNotExist):
            store.images.get(gone)
    assert store.images.get(start).id == ids[0]
    assert store.images.count() == 1
    assert store.metrics().restarts == 0


def test_a_layer_of_the_same_tar_on_another_parent_is_found(open_store: OpenStore) -> None:
    def twin(digest: str) -> ChainID | None:
        core = store.core
        found: ChainID | None = core.call(core.actors.layers, m.FindTwin(diff_id=diff_id(digest)))
        return found

    store = open_store()
    tar = layer_tar({"a": b"1"})
    assert twin(digest_of(tar)) is None
    base = store.register(layer_tar({"base": b""}))
    top = store.register(tar, base.chain_id)
    assert twin(digest_of(tar)) == top.chain_id
    alone = store.register(tar)
    assert twin(digest_of(tar)) in (top.chain_id, alone.chain_id)
    top.release()
    assert twin(digest_of(tar)) == alone.chain_id
    assert store.metrics().restarts == 0
    store.close()
    store = open_store()
    assert twin(digest_of(tar)) == alone.chain_id
    store.get(alone.chain_id).release()
    assert twin(digest_of(tar)) is None


class Compared(str):
    """An ID that counts how often any is compared with another."""

    __slots__ = ()
    times = 0

    def __lt__(self, other: str) -> bool:
        Compared.times += 1
        return str.__lt__(self, other)

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("count", [100, 10_000])
def test_of_many_ids_few_are_looked_at(count: int) -> None:
    ids = OrderedIds(Compared(digest_of(str(n).encode())) for n in range(count))
    new = Compared(digest_of(b"new"))
    few = 2 * math.ceil(math.log2(count)) + 4
    for act in (
        lambda: ids.enter(new),
        lambda: ids.beginning(new[:20]),
        lambda: ids.strike(new),
        lambda: ids.beginning("sha256:none"),
    ):
        Compared.times = 0
        act()
        assert 0 < Compared.times <= few
    assert len(ids) == count


def test_ids_are_kept_in_order_each_once() -> None:
    ids = OrderedIds(["b", "ab", "b"])
    for one in ("a", "abc", "ab", "bz"):
        ids.enter(one)
    assert list(ids) == ["a", "ab", "abc", "b", "bz"]
    assert ids.beginning("ab") == ["ab", "abc"]
    assert ids.beginning("b") == ["b", "bz"]
    assert (ids.beginning("c"), ids.beginning("")) == ([], list(ids))
    for one in ("ab", "ab", "none", ""):
        ids.strike(one)
    assert list(ids) == ["a", "abc", "b", "bz"]
