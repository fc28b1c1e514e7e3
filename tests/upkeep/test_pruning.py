"""What goes when images are pruned: never what is in use, and first what was used longest ago."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.conftest import OpenStore
from tests.images.samples import load
from tests.support.archives import docker_archive
from tests.support.tars import layer_tar

SIZE = 10_000
DAY = 86_400


def put(store: LayerStore, name: str, days: float) -> str:
    """Load an image of SIZE bytes that was used so many days ago."""
    layer = layer_tar({name: name.encode() * (SIZE // len(name))})
    image = load(store, docker_archive([layer], (f"{name}:1",)))
    age(store, image, days)
    return image


def age(store: LayerStore, image: str, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(record(store, image), (then, then))


def record(store: LayerStore, image: str) -> Path:
    return Path(store.root, "layerstore/used", store.driver_name, image.partition(":")[2])


def left(store: LayerStore) -> set[str]:
    return {tag.partition(":")[0] for image in store.images.list() for tag in image.tags}


def test_only_what_was_not_used_for_so_long_goes(store: LayerStore) -> None:
    for name, days in (("aaaa", 3.0), ("bbbb", 2.0), ("cccc", 0.0)):
        put(store, name, days)
    assert store.images.prune(unused_for=DAY) == ()
    gone = store.images.prune(every=True, unused_for=2.5 * DAY)
    assert [one.untagged for one in gone] == [("aaaa:1",)]
    assert [len(one.layers) for one in gone] == [1]
    store.images.prune(every=True, unused_for=DAY)
    assert left(store) == {"cccc"}


def test_whoever_makes_a_layer_of_an_image_uses_it(store: LayerStore) -> None:
    images = {name: put(store, name, 3.0) for name in ("aaaa", "bbbb", "cccc")}
    store.images.create("held", "aaaa:1")
    store.images.create("once", "bbbb:1").release()
    assert store.images.last_used(store.images.get("bbbb:1")) > time.time() - DAY
    age(store, images["aaaa"], 3.0)
    store.images.prune(every=True, unused_for=DAY)
    assert left(store) == {"aaaa", "bbbb"}
    store.images.prune(every=True)
    assert left(store) == {"aaaa"}


def test_nobody_is_asked_where_layers_are_from_that_lie_on_nothing_that_may_go(
    store: LayerStore,
) -> None:
    def asked() -> int:
        return store.metrics().requests.get("FindOrigin", 0)

    put(store, "aaaa", 1.0)
    for number in range(3):
        store.images.create(f"held-{number}", "aaaa:1")
    store.create_rw_layer("loose")
    before = asked()
    assert store.images.prune() == ()
    nameless = load(store, docker_archive([layer_tar({"b": b""})], ()))
    used = load(store, docker_archive([layer_tar({"c": b""})], ()))
    store.images.create("other", used)
    assert [one.deleted for one in store.images.prune()] == [nameless]
    assert asked() - before == 2, "for each time that is looked, that of the one on its layer"


@pytest.mark.parametrize(("kept", "stay"), [(3, "abc"), (2, "ac"), (1, "c"), (0.5, "")])
def test_as_many_go_as_it_takes_the_oldest_first(store: LayerStore, kept: float, stay: str) -> None:
    for name, days in (("aaaa", 2.0), ("bbbb", 3.0), ("cccc", 1.0)):
        put(store, name, days)
    store.images.prune(every=True, keep_bytes=int(kept * SIZE))
    assert left(store) == {letter * 4 for letter in stay}
    assert sum(layer.diff_size for layer in store.map().values()) <= max(kept, 0) * SIZE


def test_what_others_are_made_from_goes_after_them(store: LayerStore) -> None:
    base = put(store, "base", 9.0)
    with store.images.create("work", "base:1") as rw:
        with rw.mounted() as path:
            Path(path, "new").write_bytes(b"1")
        made = store.images.commit(rw, "made:1")
    age(store, base, 9.0)
    age(store, made.id, 9.0)
    gone = store.images.prune(every=True, unused_for=DAY)
    assert {one.deleted for one in gone} | {p for one in gone for p in one.parents} == {
        base,
        made.id,
    }
    assert store.map() == {}


def test_of_what_docker_made_the_time_of_coming_counts(store: LayerStore) -> None:
    image = put(store, "aaaa", 0.0)
    digits = image.partition(":")[2]
    record(store, image).unlink()
    config = Path(store.root, f"image/{store.driver_name}/imagedb/content/sha256", digits)
    os.utime(config, (5, 5))
    assert store.images.last_used(store.images.get(image)) == 5
    store.images.prune(every=True, unused_for=DAY)
    assert left(store) == set()


def test_a_use_that_cannot_be_noted_is_told_and_no_more(
    store: LayerStore, caplog: pytest.LogCaptureFixture
) -> None:
    image = put(store, "aaaa", 0.0)
    used = record(store, image)
    used.unlink()
    used.symlink_to("/etc/passwd")
    before = os.stat("/etc/passwd").st_mtime
    store.images.create("held", "aaaa:1")
    assert "note a use in" in caplog.text
    assert os.stat("/etc/passwd").st_mtime == before


def test_uses_are_forgotten_of_images_that_go_or_that_others_have_removed(
    open_store: OpenStore,
) -> None:
    with open_store() as store:
        gone, kept = put(store, "aaaa", 1.0), put(store, "bbbb", 1.0)
        store.images.remove("aaaa:1")
        assert not record(store, gone).exists()
        record(store, gone).touch()
    with open_store() as store:
        assert not record(store, gone).exists()
        assert record(store, kept).exists()
