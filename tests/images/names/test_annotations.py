"""What a layout calls an image that is no name here is kept with it, and written back."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from layerstore import FaultKind, LayerStore
from tests.conftest import OpenStore
from tests.images.samples import Members, files_of, together
from tests.support.archives import as_tar, docker_archive, oci_layout
from tests.support.tars import layer_tar

LAYER = layer_tar({"f": b"1"})
REF = "org.opencontainers.image.ref.name"
FULL = "io.containerd.image.name"
ODD = {REF: "app:1+build"}
ODDER = {FULL: "example.org/App", REF: "V1+x"}


def load(store: LayerStore, *called: dict[str, str] | None) -> str:
    layout = together(*(oci_layout([LAYER], annotations) for annotations in called))
    return load_members(store, layout)


def load_members(store: LayerStore, members: Members, **options: Any) -> str:
    data = io.BytesIO(as_tar(members))
    (image,) = store.images.load(data, notice=lambda _: None, **options)
    return image.id


def saved(store: LayerStore, name: str) -> tuple[list[Any], Members]:
    """Return the annotations in a saved image's index, and the whole archive."""
    target = io.BytesIO()
    store.images.save([name], target)
    target.seek(0)
    with tarfile.open(fileobj=target) as tar:
        files = {info.name: tar.extractfile(info) for info in tar if info.isreg()}
        members = {name: file.read() for name, file in files.items() if file is not None}
    listed = json.loads(members["index.json"])["manifests"]
    assert len({one["digest"] for one in listed}) == 1
    return [one.get("annotations") for one in listed], members


def records(store: LayerStore) -> list[Path]:
    return list(Path(store.root, "layerstore/images", store.driver_name).glob("*"))


def test_a_name_that_is_none_is_written_back_as_it_was(store: LayerStore) -> None:
    image = load(store, ODD, {REF: "team/app:1"}, ODDER)
    assert store.images.get(image).annotations == (ODD, ODDER)
    assert store.images.get(image).tags == ("team/app:1",)
    named = {FULL: "docker.io/team/app:1", REF: "1"}
    assert saved(store, "team/app:1")[0] == [named, ODD, ODDER]
    assert saved(store, image)[0] == [ODD, ODDER]


def test_what_was_saved_is_loaded_with_it_again(
    store: LayerStore, open_store: OpenStore, root_dir: Path
) -> None:
    load(store, ODD, {REF: "team/app:1"})
    _, members = saved(store, "team/app:1")
    assert "manifest.json" in members
    with open_store(root_dir / "other") as other:
        for reference in (None, "app:1+build", "app:1", "1"):
            image = load_members(other, members, reference=reference)
            assert other.images.get(image).annotations == (ODD,)


def test_an_image_that_is_there_keeps_what_others_call_it_too(store: LayerStore) -> None:
    image = load(store, None)
    assert store.images.get(image).annotations == ()
    assert records(store) == []
    for called in (ODD, ODDER, ODD):
        assert load(store, called) == image
    assert store.images.get(image).annotations == (ODD, ODDER)
    load_members(store, docker_archive([LAYER]))
    assert store.images.get(image).annotations == (ODD, ODDER)


def test_it_is_there_after_reopening_and_goes_with_the_image(open_store: OpenStore) -> None:
    with open_store() as store:
        image = load(store, ODD)
    with open_store() as store:
        assert store.images.get(image).annotations == (ODD,)
        assert store.check() == []
        store.images.remove(image)
        assert records(store) == []
        assert load(store, {REF: "app:1"}) == image
        assert store.images.get(image).annotations == ()


def test_a_record_whose_image_is_gone_goes_at_the_next_open(open_store: OpenStore) -> None:
    with open_store() as store:
        image = load(store, ODD)
        (record,) = records(store)
    content = record.read_bytes()
    record.with_name("0" * 64 + ".json").write_bytes(content)
    record.with_name(f"{record.name}.0123456789abcdef.tmp").write_bytes(content)
    with open_store() as store:
        assert records(store) == [record]
        assert store.images.get(image).annotations == (ODD,)


@pytest.mark.parametrize(
    "content", [b"", b'{"annotations": [{"x": "y"}]}', None], ids=["none", "odd", "link"]
)
def test_a_damaged_record_harms_no_image(open_store: OpenStore, content: bytes | None) -> None:
    with open_store() as store:
        image = load(store, ODD)
        (record,) = records(store)
    record.unlink()
    if content is None:
        record.symlink_to("/etc/hostname")
    else:
        record.write_bytes(content)
    with open_store() as store:
        assert files_of(store, image) == {"f": b"1"}
        assert store.images.get(image).annotations == ()
        (fault,) = store.check()
        assert (fault.kind, fault.path) == (FaultKind.IMAGE_RECORD, str(record))
        if store.owner is None:  # else it is for the owner
            store.repair(force=True)
            assert store.check() == []
            assert files_of(store, image) == {"f": b"1"}
            assert records(store) == []


def test_of_very_many_and_very_long_ones_some_are_kept(store: LayerStore) -> None:
    called = [{REF: f"app:{number}+"} for number in range(70)]
    image = load(store, *called, {REF: "x+" * 3000})
    assert store.images.get(image).annotations == tuple(called[-64:])
    assert saved(store, image)[0] == called[-64:]


def test_a_name_by_digest_is_annotated_but_no_tag(store: LayerStore) -> None:
    name = f"example.org/app@sha256:{'0' * 64}"
    called, members = saved(store, load(store, {FULL: name}))
    assert called == [{FULL: name}]
    assert json.loads(members["manifest.json"])[0]["RepoTags"] is None
