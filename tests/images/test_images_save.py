"""Saving images: the archive has what was loaded, so that loading it gives the same image."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from layerstore import LayerStore
from tests.images.samples import LAYERS, files_of, load
from tests.support.archives import NAME, as_tar, digest_of, docker_archive


def test_what_is_saved_can_be_loaded_and_is_the_same(store: LayerStore, tmp_path: Path) -> None:
    image_id = load(store, docker_archive(LAYERS, [NAME, "two"]))
    path, again = tmp_path / "saved.tar", tmp_path / "again.tar"
    store.images.save([NAME, "two"], path)
    store.images.save([NAME, "two"], again)
    assert path.read_bytes() == again.read_bytes()
    assert sorted(tmp_path.iterdir()) == [again, path]
    store.images.remove(image_id, force=True)
    assert store.map() == {}
    (image,) = store.images.load(path)
    assert (image.id, image.names) == (image_id, (NAME, "two:latest"))
    assert files_of(store, NAME) == {"etc/name": b"top", "bin/sh": b"#!"}


def test_saved_layers_are_the_tars_that_were_loaded(store: LayerStore) -> None:
    load(store, docker_archive(LAYERS))
    out = io.BytesIO()
    store.images.save([NAME], out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        for layer in LAYERS:
            member = archive.extractfile("blobs/sha256/" + digest_of(layer).removeprefix("sha256:"))
            assert member is not None
            assert member.read() == layer


def test_an_image_that_is_asked_for_by_id_is_saved_without_a_name(store: LayerStore) -> None:
    image_id = load(store, docker_archive(LAYERS))
    out = io.BytesIO()
    store.images.save([image_id], out)
    store.images.remove(NAME)
    (image,) = store.images.load(io.BytesIO(out.getvalue()))
    assert (image.id, image.names) == (image_id, ())


def test_progress_is_told_for_every_layer(store: LayerStore) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def progress(what: str, done: int, total: int) -> None:
        seen[what] = (done, total)

    data = as_tar(docker_archive(LAYERS))
    store.images.load(io.BytesIO(data), progress=progress)
    for layer in LAYERS:
        assert seen[digest_of(layer)[7:19]] == (len(layer), len(layer))
    seen.clear()
    store.images.save([NAME], io.BytesIO(), progress=progress)
    for layer in LAYERS:
        done, total = seen[digest_of(layer)[7:19]]
        assert done == total == len(layer)
