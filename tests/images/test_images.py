"""Images in a store: how they are named and found, what they share, what removing one takes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from layerstore import ImageDoesNotExist, ImageInUse, InvalidName, LayerDoesNotExist, LayerStore
from tests.conftest import OpenStore
from tests.images.samples import BASE, LAYERS, TOP, disk, load
from tests.support.archives import NAME, digest_of, docker_archive


def test_loading_again_changes_nothing(store: LayerStore) -> None:
    first = load(store, docker_archive(LAYERS))
    before = disk(store)
    layers = store.map()
    assert load(store, docker_archive(LAYERS)) == first
    assert (disk(store), store.map()) == (before, layers)


def test_images_share_layers_and_each_keeps_them(store: LayerStore) -> None:
    load(store, docker_archive([BASE], ["base"]))
    load(store, docker_archive(LAYERS, ["top"]))
    assert len(store.map()) == 2
    store.images.remove("base")
    assert len(store.map()) == 2
    removed = store.images.remove("top")
    assert [layer.diff_id for layer in removed.layers] == [digest_of(TOP), digest_of(BASE)]
    assert store.map() == {}
    assert disk(store) == []


def test_images_are_there_after_reopening(open_store: OpenStore) -> None:
    store = open_store()
    image_id = load(store, docker_archive(LAYERS, ["one", "two:2"]))
    store.close()
    again = open_store()
    (image,) = again.images.list()
    assert (image.id, image.names) == (image_id, ("one:latest", "two:2"))
    assert image.size == len(b"topbase#!x")
    again.images.remove(image_id, force=True)
    assert again.map() == {}


def test_an_image_is_found_by_name_id_and_the_start_of_its_id(store: LayerStore) -> None:
    image_id = load(store, docker_archive(LAYERS, ["app", "example.test:5000/team/app:3"]))
    digits = image_id.removeprefix("sha256:")
    for asked in ("app", "app:latest", image_id, digits, digits[:12], "team/app:3", "app:3"):
        assert store.images.get(asked).id == image_id
    for asked in ("app:2", "sha256:" + "0" * 64, "other"):
        with pytest.raises(ImageDoesNotExist, match=asked):
            store.images.get(asked)


def test_a_short_name_that_fits_several_images_is_ambiguous(store: LayerStore) -> None:
    load(store, docker_archive([BASE], ["one.test/app:1"]))
    load(store, docker_archive([TOP], ["two.test/app:1"]))
    with pytest.raises(InvalidName, match=r"one\.test/app:1, two\.test/app:1"):
        store.images.get("app:1")
    load(store, docker_archive(LAYERS, ["app:1"]))
    assert store.images.get("app:1").names == ("app:1",)


def test_a_name_moves_to_the_image_that_gets_it_last(store: LayerStore) -> None:
    first = load(store, docker_archive([BASE]))
    second = load(store, docker_archive(LAYERS))
    assert store.images.get(NAME).id == second
    assert store.images.get(first).names == ()
    store.images.tag(first, NAME)
    assert store.images.get(NAME).id == first


def test_removing_a_name_keeps_an_image_that_has_others(store: LayerStore) -> None:
    image_id = load(store, docker_archive(LAYERS, ["one", "two"]))
    removed = store.images.remove("one")
    assert (removed.untagged, removed.deleted) == (("one:latest",), None)
    removed = store.images.remove("two")
    assert (removed.untagged, removed.deleted) == (("two:latest",), image_id)


def test_removing_by_id_wants_force_where_several_repositories_name_it(store: LayerStore) -> None:
    image_id = load(store, docker_archive(LAYERS, ["one", "two"]))
    with pytest.raises(ImageInUse, match="one:latest, two:latest"):
        store.images.remove(image_id)
    assert store.images.remove(image_id, force=True).deleted == image_id


def test_an_image_in_use_stays_unless_forced(store: LayerStore) -> None:
    load(store, docker_archive(LAYERS))
    rw = store.images.create("web", NAME)
    with pytest.raises(ImageInUse, match="web is made from it"):
        store.images.remove(NAME)
    assert store.images.get(NAME).names == (NAME,)
    store.images.remove(NAME, force=True)
    assert len(store.map()) == 2, "the read-write layer keeps its layers"
    with rw.mounted() as path:
        assert Path(path, "etc/name").read_bytes() == b"top"
    assert len(rw.release()) == 2


def test_an_image_whose_layers_are_gone_is_listed_as_broken(
    open_store: OpenStore, store: LayerStore
) -> None:
    load(store, docker_archive(LAYERS))
    chain = store.images.get(NAME).layers[-1]
    root, driver = store.root, store.driver_name
    store.close()
    layers = Path(root, "image", driver, "layerdb/sha256")
    os.rename(layers / chain[7:], Path(root, "aside"))
    with open_store() as again:
        (image,) = again.images.list()
        assert image.missing == chain
        with pytest.raises(LayerDoesNotExist, match=chain):
            again.images.create("web", NAME)
        with pytest.raises(LayerDoesNotExist, match=chain):
            again.images.save([NAME], io.BytesIO())
        assert again.images.remove(NAME).deleted == image.id
