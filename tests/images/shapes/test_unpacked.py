"""Docker's archives as directories: what is in one is found by the names that a tar has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerstore import InvalidImage, LayerStore
from tests.images.samples import Members
from tests.support.archives import as_directory, docker_archive
from tests.support.tars import layer_tar

LAYER = layer_tar({"f": b"1"})


@pytest.mark.parametrize("prefix", ["./", "/", "//", "/./gone/../"])
def test_an_unpacked_archive_is_what_its_tar_is(
    store: LayerStore, tmp_path: Path, prefix: str
) -> None:
    unpacked = as_directory(names_before(prefix), tmp_path / "unpacked")
    (image,) = store.images.load(unpacked)
    assert image.tags == ("app:1",)


def test_a_name_that_leads_out_of_an_unpacked_archive_is_told(
    store: LayerStore, tmp_path: Path
) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0/layer.tar").write_bytes(LAYER)
    unpacked = as_directory(names_before("../"), tmp_path / "unpacked")
    with pytest.raises(InvalidImage, match=r"\.\./0/layer\.tar: it leads out of the directory"):
        store.images.load(unpacked)
    linked = as_directory(names_before("linked/"), tmp_path / "linking")
    (linked / "linked").symlink_to(linked)
    with pytest.raises(InvalidImage, match=r"linked/0/layer\.tar: a symbolic link leads there"):
        store.images.load(linked)


def names_before(prefix: str) -> Members:
    """Return a docker archive whose manifest says its layer's name with something before it."""
    members = docker_archive([LAYER], ["app:1"])
    (entry,) = json.loads(members["manifest.json"])
    entry["Layers"] = [prefix + name for name in entry["Layers"]]
    return {**members, "manifest.json": json.dumps([entry]).encode()}
