"""Committing: the new image, and how it stands to the ones that it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerstore import ImageInUse, LayerStore
from layerstore.drivers.model.image_config import EMPTY_LAYER, child_config, parse_config
from tests.images.samples import LAYERS, disk, files_of, load
from tests.support.archives import NAME, docker_archive


def test_a_commit_is_a_new_image_on_the_old_one(store: LayerStore) -> None:
    base_id = load(store, docker_archive(LAYERS))
    with store.images.create("web", NAME) as rw:
        with rw.mounted() as path:
            Path(path, "new").write_bytes(b"added")
            Path(path, "bin/sh").unlink()
        image = store.images.commit(rw, "changed", author="A. Person", comment="because")
    assert (image.parent, image.names) == (base_id, ("changed:latest",))
    assert image.layers[:2] == store.images.get(NAME).layers
    assert len(image.layers) == 3
    assert files_of(store, "changed") == {"etc/name": b"top", "new": b"added"}
    step = image.history[-1]
    assert (step.author, step.comment) == ("A. Person", "because")
    assert store.images.config("changed")["config"] == {"Cmd": ["/bin/sh"]}
    assert store.images.config("changed")["author"] == "A. Person"


def test_a_commit_without_changes_has_no_new_layer(store: LayerStore) -> None:
    load(store, docker_archive(LAYERS))
    with store.images.create("web", NAME) as rw:
        image = store.images.commit(rw)
    assert image.layers == store.images.get(NAME).layers
    assert image.history[-1].empty_layer is True


def test_a_commit_of_a_layer_without_an_image_is_a_base_image(store: LayerStore) -> None:
    with store.create_rw_layer("scratch") as rw:
        with rw.mounted() as path:
            Path(path, "f").write_bytes(b"1")
        image = store.images.commit(rw, "scratch:1")
    assert len(image.layers) == 1
    assert files_of(store, "scratch:1") == {"f": b"1"}


def test_a_parent_s_keys_count_in_any_case() -> None:
    parent = json.dumps({"RootFS": {"Type": "layers", "Diff_IDs": [EMPTY_LAYER]}, "History": [{}]})
    made = child_config(parent.encode(), EMPTY_LAYER, created="", created_by="")
    facts = parse_config(made, "made")
    assert facts.diff_ids == (EMPTY_LAYER, EMPTY_LAYER)
    assert len(facts.history) == 2


def commit_change(store: LayerStore, image: str, name: str) -> str:
    with store.images.create("changing", image) as rw:
        with rw.mounted() as path:
            Path(path, name).write_bytes(b"added")
        return store.images.commit(rw, name).id


def test_an_image_goes_with_the_nameless_ones_that_it_was_made_from(store: LayerStore) -> None:
    base_id = load(store, docker_archive(LAYERS))
    middle_id = commit_change(store, NAME, "middle")
    top_id = commit_change(store, "middle", "top")
    for name in (NAME, "middle"):
        removed = store.images.remove(name, force=True)
        assert (removed.deleted, removed.layers) == (None, ()), "others are made from it"
    for image_id in (base_id, middle_id):
        assert store.images.get(image_id).names == ()
        with pytest.raises(ImageInUse, match="is made from it"):
            store.images.remove(image_id, force=True)
    removed = store.images.remove("top")
    assert (removed.deleted, removed.parents) == (top_id, (middle_id, base_id))
    assert len(removed.layers) == 4
    assert store.images.list() == []
    assert disk(store) == []


def test_what_an_image_was_made_from_stays_while_it_is_named_or_used(store: LayerStore) -> None:
    base_id = load(store, docker_archive(LAYERS))
    commit_change(store, NAME, "top")
    assert store.images.remove("top").parents == ()
    assert store.images.get(NAME).id == base_id
    commit_change(store, NAME, "top")
    rw = store.images.create("user", NAME)
    store.images.remove(NAME, force=True)
    assert store.images.remove("top").parents == ()
    assert [image.id for image in store.images.list()] == [base_id]
    rw.release()
    assert store.images.remove(base_id).deleted == base_id
