"""Images: loading, naming, making read-write layers from them, committing, saving, removing."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from layerstore import (
    ImageDoesNotExist,
    ImageInUse,
    InvalidName,
    LayerDoesNotExist,
    LayerStore,
)
from tests.conftest import OpenStore
from tests.support.archives import NAME, as_directory, as_tar, digest_of, docker_archive, oci_layout
from tests.support.tars import layer_tar

BASE = layer_tar({"etc": None, "etc/name": b"base", "bin": None, "bin/sh": b"#!", "gone": b"x"})
TOP = layer_tar({"etc/name": b"top", ".wh.gone": b""})
LAYERS = [BASE, TOP]
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
OCI_SUFFIXES = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}


def load(store: LayerStore, members: dict[str, bytes]) -> str:
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    return image.id


def files_of(store: LayerStore, image: str) -> dict[str, bytes]:
    """Return the regular files of an image by path."""
    rw = store.images.create("looking", image)
    found = {}
    with rw.mounted() as path:
        for place, _, names in os.walk(path):
            for name in names:
                file = Path(place, name)
                found[str(file.relative_to(path))] = file.read_bytes()
    rw.release()
    return found


def disk(store: LayerStore) -> list[str]:
    """Name what layers and images take on the disk."""
    store.drain()
    home = Path(store.root, "image", store.driver_name)
    driver = Path(store.root, "overlay2" if store.driver_name == "overlay2" else "vfs/dir")
    places = ["layerdb/sha256", "layerdb/tmp", "imagedb/content/sha256", "imagedb/metadata/sha256"]
    found = [path for place in places for path in (home / place).iterdir()]
    found += [path for path in driver.iterdir() if path.name != "l"]
    found += Path(store.root, "layerstore/tmp").glob("*")
    return sorted(str(path) for path in found)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_docker_archives_are_loaded_however_their_layers_are_compressed(
    store: LayerStore, compression: str
) -> None:
    members = docker_archive(LAYERS, compress=COMPRESSIONS[compression])
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    assert image.names == image.loaded_as == (NAME,)
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
    assert image.names == image.loaded_as == (NAME,)
    assert files_of(store, NAME) == {"etc/name": b"top", "bin/sh": b"#!"}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_archive_itself_may_be_compressed(
    store: LayerStore, tmp_path: Path, compression: str
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(COMPRESSIONS[compression](as_tar(docker_archive(LAYERS))))
    (image,) = store.images.load(path)
    assert image.names == (NAME,)
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
    assert image.names == (NAME,)


def test_a_tag_alone_gets_the_repository_that_is_asked_for(store: LayerStore) -> None:
    data = as_tar(oci_layout(LAYERS, {"org.opencontainers.image.ref.name": "v2"}))
    (image,) = store.images.load(io.BytesIO(data), name="team/app")
    assert image.names == ("team/app:v2",)


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


def test_an_image_whose_layers_are_gone_is_listed_as_broken(store: LayerStore) -> None:
    load(store, docker_archive(LAYERS))
    chain = store.images.get(NAME).layers[-1]
    root, driver = store.root, store.driver_name
    store.close()
    layers = Path(root, "image", driver, "layerdb/sha256")
    os.rename(layers / chain[7:], Path(root, "aside"))
    with LayerStore(root, driver=driver) as again:
        (image,) = again.images.list()
        assert image.missing == chain
        with pytest.raises(LayerDoesNotExist, match=chain):
            again.images.create("web", NAME)
        with pytest.raises(LayerDoesNotExist, match=chain):
            again.images.save([NAME], io.BytesIO())
        assert again.images.remove(NAME).deleted == image.id
