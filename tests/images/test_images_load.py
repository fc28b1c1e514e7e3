"""Loading images: docker archives and OCI layouts, from files, directories and pipes."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from layerstore import LayerStore
from tests.images.samples import LAYERS, files_of, load
from tests.support.archives import NAME, as_directory, as_tar, docker_archive, oci_layout
from tests.support.tars import layer_tar

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
OCI_SUFFIXES = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_docker_archives_are_loaded_however_their_layers_are_compressed(
    store: LayerStore, compression: str
) -> None:
    members = docker_archive(LAYERS, compress=COMPRESSIONS[compression])
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    assert image.tags == image.loaded_as == (NAME,)
    assert files_of(store, NAME) == {"etc/name": b"top", "bin/sh": b"#!"}


@pytest.mark.parametrize(("compression", "suffix"), OCI_SUFFIXES.items())
def test_oci_layouts_are_loaded_however_their_layers_are_compressed(
    store: LayerStore, compression: str, suffix: str
) -> None:
    members = oci_layout(
        LAYERS,
        {"io.containerd.image.name": NAME},
        compress=COMPRESSIONS[compression],
        suffix=suffix,
    )
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    assert image.tags == image.loaded_as == (NAME,)
    assert files_of(store, NAME) == {"etc/name": b"top", "bin/sh": b"#!"}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_archive_itself_may_be_compressed(
    store: LayerStore, tmp_path: Path, compression: str
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(COMPRESSIONS[compression](as_tar(docker_archive(LAYERS))))
    (image,) = store.images.load(path)
    assert image.tags == (NAME,)
    assert list(Path(store.root, "layerstore/tmp").iterdir()) == []


def test_a_directory_and_its_tar_are_the_same_image(store: LayerStore, tmp_path: Path) -> None:
    members = oci_layout(LAYERS, {"org.opencontainers.image.ref.name": NAME})
    (from_directory,) = store.images.load(as_directory(members, tmp_path / "layout"))
    assert load(store, members) == from_directory.id


def test_a_pipe_is_an_archive_too(store: LayerStore, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = os.open(fifo, os.O_RDWR)
    os.write(writer, as_tar(docker_archive([layer_tar({"f": b"1"})])))
    reading = os.open(fifo, os.O_RDONLY)
    os.close(writer)
    with os.fdopen(reading, "rb") as stream:
        (image,) = store.images.load(stream)
    assert image.tags == (NAME,)


def test_a_tag_alone_gets_the_repository_that_is_asked_for(store: LayerStore) -> None:
    data = as_tar(oci_layout(LAYERS, {"org.opencontainers.image.ref.name": "v2"}))
    (image,) = store.images.load(io.BytesIO(data), name="team/app")
    assert image.tags == ("team/app:v2",)


def test_the_digest_that_a_layout_lists_an_image_by_is_a_name_of_it(store: LayerStore) -> None:
    members = oci_layout(LAYERS, {"org.opencontainers.image.ref.name": NAME})
    digest = json.loads(members["index.json"])["manifests"][0]["digest"]
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    repository = NAME.partition(":")[0]
    assert image.digests == image.loaded_by == (f"{repository}@{digest}",)
    for name in (f"{repository}@{digest}", f"{NAME}@{digest}"):
        assert store.images.get(name).id == image.id
    store.images.remove(NAME)
    assert store.images.list() == []


def test_of_several_platforms_the_fitting_one_is_loaded(store: LayerStore) -> None:
    members: dict[str, bytes] = {}
    listed = []
    for architecture in ("amd64", "arm64", "riscv64"):
        tar = layer_tar({"arch": architecture.encode()})
        layout = oci_layout([tar], architecture=architecture)
        (described,) = json.loads(layout["index.json"])["manifests"]
        listed.append({**described, "platform": {"os": "linux", "architecture": architecture}})
        members |= layout
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    data = as_tar(members)
    (image,) = store.images.load(io.BytesIO(data), platform="linux/riscv64")
    assert image.architecture == "riscv64"
    assert files_of(store, image.id) == {"arch": b"riscv64"}
