"""Layers that aren't passed on: where they can be had from is kept with them, and written again."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from layerstore import InvalidImage, LayerStore, LimitExceeded
from tests.conftest import OpenStore
from tests.images.samples import Members, blob, changed
from tests.support.archives import as_tar, digest_of, docker_archive, oci_layout
from tests.support.tars import layer_tar

LAYER = layer_tar({"f": b"1"})
OTHER = layer_tar({"g": b"2"})
OCI = "application/vnd.oci.image.layer.nondistributable.v1.tar"
DOCKER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
URLS = ["https://example.org/layer", "https://example.net/layer"]
APP = {"org.opencontainers.image.ref.name": "app:1"}


def layout(kind: str, urls: list[str], layers: tuple[bytes, ...] = (LAYER, OTHER)) -> Members:
    """Return a layout whose first layer is of a kind, compressed as its name ends."""
    compress = gzip.compress if kind.endswith("gzip") else bytes

    def foreign(_d: dict[str, Any], manifest: dict[str, Any], _files: Members) -> None:
        manifest["layers"][0] |= {"mediaType": kind, "urls": urls}

    return changed(oci_layout(layers, APP, compress=compress), foreign)


def saved(store: LayerStore, name: str) -> Members:
    target = io.BytesIO()
    store.images.save([name], target)
    target.seek(0)
    with tarfile.open(fileobj=target) as tar:
        files = {info.name: tar.extractfile(info) for info in tar if info.isreg()}
        return {name: file.read() for name, file in files.items() if file is not None}


def first_layer(members: Members) -> dict[str, Any]:
    (described,) = json.loads(members["index.json"])["manifests"]
    manifest = json.loads(members["blobs/sha256/" + described["digest"][7:]])
    found: dict[str, Any] = manifest["layers"][0]
    return found


def kept(store: LayerStore) -> dict[str, Any]:
    """Return the descriptors that lie with layers, by diff ID."""
    home = Path(store.root, "image", store.driver_name, "layerdb/sha256")
    return {
        (path.parent / "diff").read_text(): json.loads(path.read_text())
        for path in home.glob("*/descriptor.json")
    }


@pytest.mark.parametrize(
    ("kind", "plain"),
    [(OCI, OCI), (f"{OCI}+gzip", OCI), (DOCKER, DOCKER), (f"{DOCKER}.gzip", DOCKER)],
)
def test_where_a_layer_is_from_comes_back_at_save(
    store: LayerStore, open_store: OpenStore, root_dir: Path, kind: str, plain: str
) -> None:
    members = layout(kind, URLS)
    given_as = first_layer(members)
    store.images.load(io.BytesIO(as_tar(members)))
    assert kept(store) == {digest_of(LAYER): given_as}
    members = saved(store, "app:1")
    assert json.loads(members["manifest.json"])[0]["LayerSources"] == {digest_of(LAYER): given_as}
    written = first_layer(members)
    assert (written["mediaType"], written["digest"]) == (plain, digest_of(LAYER))
    assert written.get("urls") == (None if kind.endswith("gzip") else URLS)
    with open_store(root_dir / "other") as other:
        other.images.load(io.BytesIO(as_tar(members)))
        assert kept(other) == {digest_of(LAYER): given_as}
        assert saved(other, "app:1") == members


def test_what_docker_keeps_of_a_layer_is_kept_too(store: LayerStore) -> None:
    source = {"mediaType": f"{DOCKER}.gzip", "size": 5, "digest": digest_of(b"gz"), "urls": URLS}
    members = docker_archive([LAYER, OTHER], ["app:1"])
    (entry,) = json.loads(members["manifest.json"])
    entry["LayerSources"] = {digest_of(OTHER): source, digest_of(b"none"): source}
    members["manifest.json"] = json.dumps([entry]).encode()
    store.images.load(io.BytesIO(as_tar(members)))
    assert kept(store) == {digest_of(OTHER): source}
    path = next(Path(store.root).rglob("descriptor.json"))
    assert path.read_text() == json.dumps(source, separators=(",", ":"))
    assert store.check() == []
    again = json.loads(saved(store, "app:1")["manifest.json"])[0]["LayerSources"]
    assert again == {digest_of(OTHER): source}


def test_a_layer_that_is_not_there_is_told_with_where_it_can_be_had(store: LayerStore) -> None:
    absent = layout(OCI, URLS)
    del absent[blob(LAYER)]
    with pytest.raises(InvalidImage, match=f"is missing, which is kept at {', '.join(URLS)}"):
        store.images.load(io.BytesIO(as_tar(absent)))
    members = docker_archive([LAYER])
    (entry,) = json.loads(members["manifest.json"])
    source = {"digest": digest_of(LAYER), "urls": URLS}
    entry["LayerSources"] = {digest_of(LAYER): source}
    members = {**members, "manifest.json": json.dumps([entry]).encode()}
    del members[entry["Layers"][0]]
    with pytest.raises(InvalidImage, match=f"is missing, which is kept at {', '.join(URLS)}"):
        store.images.load(io.BytesIO(as_tar(members)))


def test_plain_layers_keep_no_descriptor(store: LayerStore) -> None:
    store.images.load(io.BytesIO(as_tar(oci_layout([LAYER], APP))))
    assert kept(store) == {}
    members = saved(store, "app:1")
    assert "LayerSources" not in json.loads(members["manifest.json"])[0]
    assert first_layer(members)["mediaType"] == "application/vnd.oci.image.layer.v1.tar"


@pytest.mark.parametrize(
    "descriptor", ["[]", "{", '{"digest": "sha256:1"}', '{"size": 1}', '{"urls": 5}']
)
def test_a_descriptor_of_another_kind_harms_no_save(store: LayerStore, descriptor: str) -> None:
    layer = store.register(LAYER, descriptor=descriptor)
    store.images.load(io.BytesIO(as_tar(oci_layout([LAYER], APP))))
    layer.release()
    assert "LayerSources" not in json.loads(saved(store, "app:1")["manifest.json"])[0]


def test_a_descriptor_is_kept_up_to_a_size(store: LayerStore) -> None:
    with pytest.raises(LimitExceeded, match="the descriptor in bytes of a layer"):
        store.images.load(io.BytesIO(as_tar(layout(OCI, ["https://example.org/" + "x" * 70_000]))))
    assert store.images.list() == []


def test_what_newer_dockers_say_of_every_layer_is_not_kept(store: LayerStore) -> None:
    members = docker_archive([LAYER], ["app:1"])
    (entry,) = json.loads(members["manifest.json"])
    plain = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": len(LAYER)}
    entry["LayerSources"] = {digest_of(LAYER): {**plain, "digest": digest_of(LAYER)}}
    store.images.load(
        io.BytesIO(as_tar({**members, "manifest.json": json.dumps([entry]).encode()}))
    )
    assert kept(store) == {}
