"""Blobs that only their descriptors hold: the "data" of the OCI specification's descriptors."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerstore import Image, IntegrityError, InvalidImage, LayerStore
from tests.images.samples import Members, blob, changed, disk, files_of, together
from tests.support.archives import as_directory, as_tar, config_of, digest_of, oci_layout
from tests.support.tars import layer_tar

LAYER = layer_tar({"etc": None, "etc/hostname": b"case"})
TOP = layer_tar({"etc/hostname": b"top"})
REF = "org.opencontainers.image.ref.name"
APP = {REF: "app:1"}


def held(descriptor: dict[str, Any], members: Members) -> None:
    """Have a descriptor hold its blob, which is nowhere else then."""
    content = members.pop("blobs/sha256/" + descriptor["digest"][7:])
    descriptor["data"] = base64.b64encode(content).decode()


def whole(compress: Callable[[bytes], bytes] = bytes) -> Members:
    """Return a layout whose index holds all there is."""

    def hold(_d: dict[str, Any], manifest: dict[str, Any], members: Members) -> None:
        for descriptor in (manifest["config"], *manifest["layers"]):
            held(descriptor, members)

    suffix = "+gzip" if compress is gzip.compress else ""
    layout = changed(oci_layout([LAYER, TOP], APP, compress=compress, suffix=suffix), hold)
    index = json.loads(layout["index.json"])
    held(index["manifests"][0], layout)
    return {"oci-layout": layout["oci-layout"], "index.json": json.dumps(index).encode()}


def load(store: LayerStore, members: Members) -> Image:
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    return image


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_descriptors_may_hold_everything(
    store: LayerStore, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    members = whole(compress)
    (image,) = store.images.load(as_directory(members, tmp_path / "layout"))
    assert (image.id, image.tags) == (digest_of(config_of([LAYER, TOP])), ("app:1",))
    assert files_of(store, image.id) == {"etc/hostname": b"top"}
    store.images.remove("app:1")
    told: dict[str, tuple[int, int]] = {}
    (again,) = store.images.load(
        io.BytesIO(as_tar(members)), progress=lambda *one: told.update({one[0]: one[1:]})
    )
    assert again.id == image.id
    sizes = {digest_of(tar)[7:19]: len(compress(tar)) for tar in (LAYER, TOP)}
    assert {what: told[what] for what in sizes} == {w: (size, size) for w, size in sizes.items()}
    assert store.check() == []


def test_a_layer_that_a_descriptor_holds_is_verified(store: LayerStore) -> None:
    before = disk(store)
    cases: list[tuple[str, type[Exception], str]] = [
        (base64.b64encode(LAYER[:-1] + b"x").decode(), IntegrityError, "the digest of"),
        (base64.b64encode(LAYER[:-1]).decode(), IntegrityError, "the size in bytes of"),
        ("no base64", InvalidImage, "the data of"),
        ("ü", InvalidImage, "the data of"),
    ]
    for data, kind, reason in cases:
        with pytest.raises(kind, match=f"{reason} {blob(LAYER)}"):
            load(store, changed(oci_layout([LAYER, TOP], APP), saying(data)))
    assert disk(store) == before


def saying(data: str) -> Callable[[dict[str, Any], dict[str, Any], Members], None]:
    """Return what has a layer be as it is said, and nowhere else."""

    def lie(_d: dict[str, Any], manifest: dict[str, Any], members: Members) -> None:
        held(manifest["layers"][0], members)
        manifest["layers"][0]["data"] = data

    return lie


def test_of_a_blob_that_is_there_no_data_is_read(store: LayerStore) -> None:
    def add(_d: dict[str, Any], manifest: dict[str, Any], _files: Members) -> None:
        manifest["layers"][0]["data"] = "no base64"

    assert load(store, changed(oci_layout([LAYER], APP), add)).tags == ("app:1",)


def test_a_configuration_that_a_descriptor_holds_is_verified(store: LayerStore) -> None:
    def lie(_d: dict[str, Any], manifest: dict[str, Any], files: Members) -> None:
        manifest["config"]["data"] = "e30="
        del files[blob(config_of([LAYER]))]

    with pytest.raises(IntegrityError, match="the size in bytes"):
        load(store, changed(oci_layout([LAYER], APP), lie))


@pytest.mark.thorough
def test_no_more_than_so_much_is_held_in_memory(store: LayerStore) -> None:
    """A manifest may have 4 MiB, with 3 MiB of layers in it; there may be many."""

    def hold(_d: dict[str, Any], manifest: dict[str, Any], members: Members) -> None:
        held(manifest["layers"][0], members)

    layouts = []
    for number in range(22):
        tar = layer_tar({"f": bytes([number]) * 3_090_000})
        layouts.append(changed(oci_layout([tar], {REF: f"app:{number}"}), hold))
    notes: list[str] = []
    archive = io.BytesIO(as_tar(together(*layouts)))
    images = store.images.load(archive, notice=notes.append)
    assert [image.tags for image in images] == [(f"app:{number}",) for number in range(21)]
    (note,) = notes
    assert "the size in bytes of layers in descriptors" in note
