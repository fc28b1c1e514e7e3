"""Choosing from an archive: one image of several by what it is called, one platform or all."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from layerstore import InvalidImage, InvalidName, LayerStore
from layerstore.drivers.model.platform import host_platform
from tests.images.samples import Members, blob, described, files_of, together
from tests.support.archives import as_tar, docker_archive, oci_layout
from tests.support.tars import layer_tar

REF = "org.opencontainers.image.ref.name"
FULL = "io.containerd.image.name"
INDEX = "application/vnd.oci.image.index.v1+json"
HERE = host_platform().architecture
ELSEWHERE = [name for name in ("amd64", "arm64", "s390x") if name != HERE]


def load(store: LayerStore, members: Members, **options: Any) -> tuple[list[str], list[str]]:
    """Load, and return a line for each image, and the notes."""
    notes: list[str] = []
    data = io.BytesIO(as_tar(members))
    images = store.images.load(data, notice=notes.append, **options)
    return [f"{image.architecture} {' '.join(image.loaded_as)}".strip() for image in images], notes


def image_of(number: int, annotations: dict[str, str] | None = None, arch: str = HERE) -> Members:
    return oci_layout([layer_tar({"n": b"%d" % number})], annotations, architecture=arch)


LAYOUT = together(
    image_of(0, {FULL: "example.org/team/app:1", REF: "1"}),
    image_of(1, {REF: "team/tool:latest"}),
    image_of(2, {REF: "odd+one"}),
    image_of(3),
)


def the_same_for_docker() -> Members:
    members: Members = {}
    entries = []
    called: tuple[list[str], ...] = (
        ["example.org/team/app:1", "other:1"],
        ["team/tool:latest"],
        ["odd+one"],
        [],
    )
    for number, tags in enumerate(called):
        one = docker_archive([layer_tar({"n": b"%d" % number})], tags)
        (entry,) = json.loads(one.pop("manifest.json"))
        one[f"{number}.tar"] = one.pop(entry["Layers"][0])
        entries.append({**entry, "Layers": [f"{number}.tar"]})
        members |= one
    return {**members, "manifest.json": json.dumps(entries).encode()}


each_format = pytest.mark.parametrize(
    "members", [LAYOUT, the_same_for_docker()], ids=["layout", "docker"]
)


@pytest.mark.sampled(3)
@each_format
@pytest.mark.parametrize(
    ("reference", "number", "names"),
    [
        ("example.org/team/app:1", 0, ["example.org/team/app:1"]),
        ("team/app:1", 0, ["example.org/team/app:1"]),
        ("app:1", 0, ["example.org/team/app:1"]),
        ("team/tool:latest", 1, ["team/tool:latest"]),
        ("team/tool", 1, ["team/tool:latest"]),
        ("tool", 1, ["team/tool:latest"]),
        ("odd+one", 2, []),
        ("@1", 1, ["team/tool:latest"]),
        ("@3", 3, []),
    ],
)
def test_one_of_several_images_is_chosen_by_what_it_is_called(
    store: LayerStore, members: Members, reference: str, number: int, names: list[str]
) -> None:
    data = io.BytesIO(as_tar(members))
    (image,) = store.images.load(data, reference=reference, notice=print)
    assert list(image.tags) == names
    assert files_of(store, image.id) == {"n": b"%d" % number}
    assert len(store.images.list()) == 1


def test_a_layouts_image_is_chosen_by_its_tag_alone(store: LayerStore) -> None:
    assert load(store, LAYOUT, reference="1") == ([f"{HERE} example.org/team/app:1"], [])
    tags = together(image_of(5, {REF: "v1"}), image_of(6, {REF: "v2"}))
    assert load(store, tags, reference="v2", name="app") == ([f"{HERE} app:v2"], [])


@pytest.mark.sampled(4)
@each_format
@pytest.mark.parametrize("reference", ["none:1", "app:2", "pp:1", "@4", "@", ""])
@pytest.mark.usefixtures("nothing_is_left")
def test_where_none_is_called_so_those_that_there_are_are_told(
    store: LayerStore, members: Members, reference: str
) -> None:
    with pytest.raises(InvalidImage, match=r"PATH:REF is one of .*team/app:1, .*odd\+one, @3, or"):
        load(store, members, reference=reference)


def test_a_repository_for_tags_is_one_without_a_tag(store: LayerStore) -> None:
    with pytest.raises(InvalidName, match="a repository alone"):
        load(store, LAYOUT, name="app:1")


# Platforms


def multi(*architectures: str, annotations: dict[str, str], nested: bool) -> Members:
    """Return a layout of one image for several platforms, and its provenance."""
    members: Members = {}
    listed: list[dict[str, Any]] = []
    for number, name in enumerate(architectures):
        one = image_of(number, arch=name)
        (descriptor,) = json.loads(one["index.json"])["manifests"]
        listed.append({**descriptor, "platform": {"os": "linux", "architecture": name}})
        members |= one
    statement = image_of(99)
    (descriptor,) = json.loads(statement["index.json"])["manifests"]
    unknown = {"os": "unknown", "architecture": "unknown"}
    listed.append({**descriptor, "platform": unknown})
    members |= statement
    if nested:
        content = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
        members[blob(content)] = content
        listed = [described(content, INDEX)]
    listed = [{**one, "annotations": annotations} for one in listed]
    return {**members, "index.json": json.dumps({"manifests": listed}).encode()}


@pytest.mark.parametrize("nested", [False, True])
def test_every_platform_is_loaded_and_the_best_has_the_name(
    store: LayerStore, nested: bool
) -> None:
    layout = multi(ELSEWHERE[0], HERE, ELSEWHERE[1], annotations={REF: "app:1"}, nested=nested)
    assert load(store, layout) == ([f"{HERE} app:1"], [])
    images, notes = load(store, layout, all_platforms=True)
    assert images == [ELSEWHERE[0], f"{HERE} app:1", ELSEWHERE[1]]
    assert len(notes) == 2
    assert f"(linux/{ELSEWHERE[0]}) is loaded without a name: 'app:1' is for linux/" in notes[0]
    assert "--platform" in notes[0]
    images, _ = load(store, layout, all_platforms=True, platform=f"linux/{ELSEWHERE[1]}")
    assert images == [ELSEWHERE[0], HERE, f"{ELSEWHERE[1]} app:1"]


def test_every_platform_of_an_image_that_is_chosen_is_loaded(store: LayerStore) -> None:
    layout = multi(*ELSEWHERE, annotations={REF: "app:1"}, nested=True)
    both = together(image_of(5, {REF: "other:1"}), layout)
    images, notes = load(store, both, all_platforms=True, reference="app:1")
    assert images == ELSEWHERE
    assert len(notes) == 2


def test_where_no_platform_fits_what_helps_is_told(store: LayerStore) -> None:
    layout = multi(*ELSEWHERE, annotations={REF: "app:1"}, nested=True)
    with pytest.raises(InvalidImage, match=r"it has: .*; see --platform and --all"):
        load(store, layout)
    assert load(store, layout, platform=f"linux/{ELSEWHERE[0]}") == ([f"{ELSEWHERE[0]} app:1"], [])


def test_of_images_that_nothing_tells_apart_the_first_is_taken_with_a_word(
    store: LayerStore,
) -> None:
    layout = together(image_of(0, {REF: "app:1"}), image_of(1, {REF: "app:1"}))
    images, (note,) = load(store, layout)
    assert images == [f"{HERE} app:1"]
    assert files_of(store, "app:1") == {"n": b"0"}
    assert "of 2 images in index.json" in note
    assert "--all, and PATH:@N" in note
    assert load(store, layout, reference="@1") == ([f"{HERE} app:1"], [])
    assert files_of(store, "app:1") == {"n": b"1"}
    images, _ = load(store, layout, all_platforms=True)
    assert images == [f"{HERE} app:1", HERE]


def test_one_broken_platform_keeps_no_other_out(store: LayerStore) -> None:
    layout = multi(*ELSEWHERE, HERE, annotations={REF: "app:1"}, nested=True)
    del layout[blob(layer_tar({"n": b"0"}))]
    images, notes = load(store, layout, all_platforms=True)
    assert images == [ELSEWHERE[1], f"{HERE} app:1"]
    assert any(note.startswith("left out: ") for note in notes)
