"""Archives that are broken, lie or attack: each refused with its own error, nothing left behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerstore import (
    DriverError,
    IntegrityError,
    InvalidImage,
    InvalidName,
    LayerStore,
    LayerStoreError,
    LimitExceeded,
)
from tests.images.samples import LAYERS, TOP, Members, docker
from tests.support.archives import as_directory, as_tar, digest_of, docker_archive, oci_layout
from tests.support.tars import layer_tar, many_files

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def refused(store: LayerStore, members: Members | bytes, error: type[LayerStoreError]) -> str:
    """Load what must be refused, and return the message."""
    data = members if isinstance(members, bytes) else as_tar(members)
    with pytest.raises(error) as caught:
        store.images.load(io.BytesIO(data))
    return str(caught.value)


def oci(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Members:
    """Return a layout whose index descriptor and manifest were changed, digests made to fit."""
    members = oci_layout(LAYERS)
    index = json.loads(members["index.json"])
    (described,) = index["manifests"]
    manifest = json.loads(members["blobs/sha256/" + described["digest"][7:]])
    change(described, manifest)
    content = json.dumps(manifest).encode()
    if "keep" not in described:
        described |= {"digest": digest_of(content), "size": len(content)}
        members["blobs/sha256/" + described["digest"][7:]] = content
    members["index.json"] = json.dumps(index).encode()
    return members


def test_what_is_no_archive(store: LayerStore, tmp_path: Path) -> None:
    assert "not a tar" in refused(store, b"", InvalidImage) or "empty"
    assert "not a tar" in refused(store, os.urandom(5000), InvalidImage)
    assert "neither manifest.json" in refused(store, layer_tar({"f": b"1"}), InvalidImage)
    with pytest.raises(DriverError, match="No such file"):
        store.images.load(tmp_path / "missing")
    with pytest.raises(InvalidImage, match="neither"):
        store.images.load(tmp_path)


@pytest.mark.parametrize("cut", [0.05, 0.4, 0.9])
def test_a_truncated_archive(store: LayerStore, cut: float) -> None:
    data = as_tar(docker_archive([many_files(200), TOP]))
    short = data[: int(len(data) * cut)]
    refused(store, short, InvalidImage)
    packed = gzip.compress(data)
    message = refused(store, packed[: int(len(packed) * cut)], InvalidImage)
    assert "broken" in message


def test_a_truncated_layer(store: LayerStore) -> None:
    members = docker_archive(LAYERS)
    members["1/layer.tar"] = TOP[:513]
    message = refused(store, members, InvalidImage)
    assert "layer 1/layer.tar" in message
    assert "ends" in message


def test_garbage_instead_of_a_layer(store: LayerStore) -> None:
    members = docker_archive(LAYERS)
    members["1/layer.tar"] = os.urandom(3000)
    assert "not a tar header" in refused(store, members, InvalidImage)


def test_a_layer_that_is_another_one(store: LayerStore) -> None:
    members = docker_archive(LAYERS)
    other = layer_tar({"other": b"1"})
    members["1/layer.tar"] = other
    message = refused(store, members, IntegrityError)
    assert digest_of(other) in message
    assert digest_of(TOP) in message


def test_a_wrong_digest_in_a_manifest(store: LayerStore) -> None:
    members = oci_layout(LAYERS, suffix="+gzip", compress=gzip.compress)
    (blob,) = [
        name
        for name, content in members.items()
        if content[:2] == b"\x1f\x8b" and gzip.decompress(content) == TOP
    ]
    other = gzip.compress(TOP, compresslevel=1, mtime=5)
    members[blob] = other.ljust(len(members[blob]), b"\0")
    message = refused(store, members, LayerStoreError)
    assert blob in message or digest_of(other) in message


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda e: e.update(Layers=e["Layers"][:1]), InvalidImage, "1 layers in the manifest"),
        (lambda e: e.update(Layers=[*e["Layers"], "x"]), InvalidImage, "layer x is missing"),
        (lambda e: e.update(Config="none.json"), InvalidImage, "none.json is missing"),
        (lambda e: e.update(Config="../../etc/passwd"), InvalidImage, "missing"),
        (lambda e: e.update(Layers=["../../etc/passwd"] * 2), InvalidImage, "is missing"),
        (lambda e: e.pop("Config"), InvalidImage, "Config"),
        (lambda e: e.update(RepoTags=7), InvalidImage, "RepoTags"),
    ],
)
def test_a_docker_manifest_that_does_not_fit(
    store: LayerStore, change: Callable[[Any], Any], error: type[LayerStoreError], reason: str
) -> None:
    assert reason in refused(store, docker(change), error)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda d, _m: d.update(digest="md5:0", keep=1), InvalidImage, "is no digest"),
        (
            lambda d, _m: d.update(digest="sha256:" + "0" * 64, keep=1),
            InvalidImage,
            "is missing",
        ),
        (lambda d, _m: d.update(size=d["size"] + 1, keep=1), IntegrityError, "the size in bytes"),
        (lambda d, _m: d.update(mediaType="text/plain"), InvalidImage, "media type"),
        (lambda _d, m: m["config"].update(mediaType="x/y"), InvalidImage, "no container image"),
        (lambda _d, m: m["layers"][0].update(mediaType="x/y"), InvalidImage, "no plain layer"),
        (lambda _d, m: m["layers"][1].update(size=3), IntegrityError, "the size in bytes of layer"),
        (lambda _d, m: m["layers"].pop(), InvalidImage, "1 layers in the manifest, 2 diff IDs"),
        (lambda _d, m: m.pop("config"), InvalidImage, "config"),
        (lambda _d, m: m.update(mediaType="x/y"), InvalidImage, "says it is 'x/y'"),
        (
            lambda _d, m: m["layers"].extend(m["layers"][:1] * 20_000),
            LimitExceeded,
            "the number of layers",
        ),
    ],
)
def test_an_oci_layout_that_does_not_fit(
    store: LayerStore,
    change: Callable[[Any, Any], Any],
    error: type[LayerStoreError],
    reason: str,
) -> None:
    assert reason in refused(store, oci(change), error)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "not an image configuration"),
        (b"{}", "it has no rootfs"),
        (b'{"rootfs": {"type": "other"}}', "unknown type 'other'"),
        (b'{"rootfs": {"diff_ids": ["../../x"]}}', "'../../x' in its rootfs is not a diff ID"),
        (b'{"rootfs": {"diff_ids": 5}}', "not an image configuration"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_configuration_that_is_none(store: LayerStore, config: bytes, reason: str) -> None:
    members = docker(lambda e: e.update(Config="config.json"))
    assert reason in refused(store, {**members, "config.json": config}, InvalidImage)


def test_a_configuration_with_another_digest_than_its_name(store: LayerStore) -> None:
    members = docker()
    (name,) = [name for name in members if len(name) == 69]
    members[name] += b"\n"
    assert "the digest of" in refused(store, members, IntegrityError)


def test_documents_that_are_too_large(store: LayerStore) -> None:
    huge = b" " * (5 << 20)
    assert "manifest.json" in refused(store, {**docker(), "manifest.json": huge}, LimitExceeded)
    layout = {**oci_layout(LAYERS), "index.json": huge}
    assert "index.json" in refused(store, layout, LimitExceeded)


def test_indexes_that_refer_to_each_other_for_ever(store: LayerStore) -> None:
    # A true cycle would need a broken sha256; a long chain is the nearest there is.
    kind = "application/vnd.oci.image.index.v1+json"
    members: Members = {}
    described: dict[str, Any] = {"mediaType": kind, "digest": "sha256:" + "0" * 64, "size": 2}
    for _ in range(20):
        content = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
        members["blobs/sha256/" + digest_of(content)[7:]] = content
        described = {"mediaType": kind, "digest": digest_of(content), "size": len(content)}
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
    assert "the depth of indexes" in refused(store, members, LimitExceeded)


def test_a_platform_that_is_not_there_or_no_platform(store: LayerStore) -> None:
    members = oci_layout(LAYERS)
    index = json.loads(members["index.json"])
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    data = as_tar({**members, "index.json": json.dumps(index).encode()})
    with pytest.raises(InvalidImage, match="no image for linux/s390x"):
        store.images.load(io.BytesIO(data), platform="linux/s390x")
    with pytest.raises(InvalidName, match="os/architecture"):
        store.images.load(io.BytesIO(data), platform="amd64")


def test_links_in_the_archive_lead_nowhere_else(store: LayerStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    members = docker()
    buffer = io.BytesIO(as_tar({k: v for k, v in members.items() if k != "1/layer.tar"}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        info = tarfile.TarInfo("1/layer.tar")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(info)
    assert "is missing" in refused(store, buffer.getvalue(), InvalidImage)

    layout = as_directory(oci_layout(LAYERS), tmp_path / "layout")
    (layout / "index.json").unlink()
    (layout / "index.json").symlink_to(secret)
    with pytest.raises(InvalidImage, match=r"index\.json"):
        store.images.load(layout)


def test_two_manifests_in_one_archive(store: LayerStore) -> None:
    members = docker()
    data = as_tar(members)[:-10240] + as_tar({"manifest.json": b"[]"})
    with pytest.raises(InvalidImage):
        store.images.load(io.BytesIO(data))
