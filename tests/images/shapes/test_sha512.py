"""Layouts whose blobs are named by sha512, the other algorithm that the OCI specification has."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from layerstore import Image, IntegrityError, LayerStore
from tests.support.archives import as_tar, oci_layout
from tests.support.tars import layer_tar

LAYER = layer_tar({"etc": None, "etc/hostname": b"case"})
NAMED = {"org.opencontainers.image.ref.name": "app:1"}


def load(store: LayerStore, members: dict[str, bytes]) -> Image:
    notes: list[str] = []
    (image,) = store.images.load(io.BytesIO(as_tar(members)), notice=notes.append)
    assert notes == []
    return image


def by_sha512(members: dict[str, bytes]) -> dict[str, bytes]:
    """Return a layout in which every digest is of the other algorithm."""
    index = json.loads(members["index.json"])
    made = {"oci-layout": members["oci-layout"]}

    def add(descriptor: dict[str, Any], content: bytes) -> None:
        digits = hashlib.sha512(content).hexdigest()
        descriptor.update(digest=f"sha512:{digits}", size=len(content))
        made[f"blobs/sha512/{digits}"] = content

    (described,) = index["manifests"]
    manifest = json.loads(members["blobs/sha256/" + described["digest"][7:]])
    for descriptor in (manifest["config"], *manifest["layers"]):
        add(descriptor, members["blobs/sha256/" + descriptor["digest"][7:]])
    add(described, json.dumps(manifest).encode())
    made["index.json"] = json.dumps(index).encode()
    return made


@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), ("+gzip", gzip.compress)])
def test_blobs_may_be_named_by_sha512(
    store: LayerStore, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    plain = oci_layout([LAYER], NAMED, compress=compress, suffix=suffix)
    image = load(store, by_sha512(plain))
    assert image.tags == ("app:1",)
    assert image.id == load(store, plain).id


@pytest.mark.parametrize("number", [1, 2, 3])
def test_blobs_named_by_sha512_are_checked(store: LayerStore, number: int) -> None:
    members = by_sha512(oci_layout([LAYER], NAMED))
    name = sorted(name for name in members if name.startswith("blobs/"))[number - 1]
    flipped = bytearray(members[name])
    flipped[-1] ^= 1
    with pytest.raises(IntegrityError) as caught:
        load(store, {**members, name: bytes(flipped)})
    assert caught.value.expected == name.replace("blobs/", "").replace("/", ":")
    assert caught.value.actual == "sha512:" + hashlib.sha512(flipped).hexdigest()
    assert store.map() == {}
