"""Images as other tools write them: what can be taken is, and the rest is told in a line each."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from layerstore import (
    Image,
    IntegrityError,
    InvalidImage,
    LayerStore,
    LayerStoreError,
    LimitExceeded,
    Limits,
    MaxDepthExceeded,
)
from layerstore.drivers.model.platform import host_platform
from tests.conftest import OpenStore
from tests.images.samples import Members, blob, changed, described, together
from tests.images.shapes.test_legacy import IDS
from tests.images.shapes.test_legacy import layer as legacy_layer
from tests.support.archives import (
    as_tar,
    digest_of,
    docker_archive,
    oci_layout,
)
from tests.support.tars import layer_tar

LAYER = layer_tar({"etc": None, "etc/hostname": b"case"})
OTHER = layer_tar({"f": b"2"})
REF_NAME = "org.opencontainers.image.ref.name"
FOREIGN = {"arm64": "amd64"}.get(host_platform().architecture, "arm64")
"""An architecture that isn't this machine's."""


def artifact(**fields: Any) -> Members:
    """Return a layout of an artifact: an SBOM, a signature."""
    empty = b"{}"
    content = b'{"spdx": 1}'
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(empty, "application/vnd.oci.empty.v1+json"),
        "layers": [described(content, "application/spdx+json")],
        **fields,
    }
    document = json.dumps(manifest).encode()
    members = {blob(one): one for one in (empty, content, document)}
    index = {"manifests": [described(document, manifest["mediaType"])]}
    return {**members, "index.json": json.dumps(index).encode()}


def load(store: LayerStore, members: Members, **options: Any) -> tuple[list[Image], list[str]]:
    notes: list[str] = []
    data = io.BytesIO(as_tar(members))
    return list(store.images.load(data, notice=notes.append, **options)), notes


APP = {REF_NAME: "app:1"}


def test_an_image_that_is_named_by_its_digest_is_loaded_beside_others(store: LayerStore) -> None:
    other = oci_layout([OTHER])
    (descriptor,) = json.loads(other["index.json"])["manifests"]
    name = f"example.org/library/busy@{descriptor['digest']}"
    other = oci_layout([OTHER], {"io.containerd.image.name": name})
    images, notes = load(store, together(oci_layout([LAYER], APP), other))
    assert [image.tags for image in images] == [("app:1",), ()]
    (note,) = notes
    assert "doesn't get the name" in note
    assert name in note


@pytest.mark.parametrize("tag", ["v1.0-RC1", "V2"])
def test_a_tag_without_a_repository_is_told_with_what_helps(store: LayerStore, tag: str) -> None:
    layout = oci_layout([LAYER], {REF_NAME: tag})
    (image,), (note,) = load(store, layout)
    assert image.tags == ()
    assert f"--name REPOSITORY makes it REPOSITORY:{tag}" in note
    (image,), notes = load(store, layout, name="app")
    assert (image.tags, notes) == ((f"app:{tag}",), [])


@pytest.mark.parametrize("name", ["app:1+build", "UPPER:1", "app@sha256:12"])
def test_a_name_that_is_none_leaves_the_image_without(store: LayerStore, name: str) -> None:
    (image,), (note,) = load(store, oci_layout([LAYER], {REF_NAME: name}))
    assert image.tags == ()
    assert name in note
    (image,), (note,) = load(store, docker_archive([OTHER], [name]))
    assert image.tags == ()
    assert name in note


@pytest.mark.parametrize(
    "beside",
    [
        artifact(artifactType="application/spdx+json"),
        artifact(),
        changed(
            oci_layout([OTHER]),
            lambda d, _m, _f: d.update(mediaType="application/vnd.example.signature"),
        ),
    ],
    ids=["typed", "by its config", "by its descriptor"],
)
def test_an_artifact_beside_an_image_is_left_out_and_told(
    store: LayerStore, beside: Members
) -> None:
    images, (note,) = load(store, together(oci_layout([LAYER], APP), beside))
    assert [image.tags for image in images] == [("app:1",)]
    assert note.startswith("left out: ")
    with pytest.raises(InvalidImage):
        load(store, beside)


def test_an_image_that_lacks_a_layer_is_left_out_beside_others(store: LayerStore) -> None:
    broken = oci_layout([OTHER])
    del broken[blob(OTHER)]
    images, (note,) = load(store, together(oci_layout([LAYER], APP), broken))
    assert [image.tags for image in images] == [("app:1",)]
    assert "is missing" in note


def lying(content: bytes) -> Members:
    """Return a layout of one image whose layer isn't what its digest says."""
    members = oci_layout([content])
    flipped = bytearray(members[blob(content)])
    flipped[600] ^= 1
    return {**members, blob(content): bytes(flipped)}


@pytest.mark.parametrize(
    ("beside", "error", "told"),
    [
        (lying(OTHER), IntegrityError, "should be"),
        (
            oci_layout([layer_tar({"d/" * 20 + "f": b"1"})]),
            LimitExceeded,
            "--limit max_depth=N",
        ),
        (
            oci_layout([layer_tar({"f": b"%d" % number}) for number in range(4)]),
            MaxDepthExceeded,
            "--limit max_layers=N",
        ),
        (
            oci_layout([OTHER], created_by=" " * (4 << 20)),
            LimitExceeded,
            "the size in bytes of",
        ),
    ],
    ids=["another layer", "too deep a tree", "too many layers", "a config too large"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_an_image_that_is_not_what_it_should_be_keeps_no_other_out(
    open_store: OpenStore, beside: Members, error: type[LayerStoreError], told: str, order: int
) -> None:
    store = open_store(limits=Limits(max_depth=10, max_layers=3))
    app = oci_layout([LAYER], APP)
    images, (note,) = load(store, together(*[app, beside][::order]))
    assert [image.tags for image in images] == [("app:1",)]
    assert note.startswith("left out: ")
    assert told in note
    assert len(store.map()) == 1
    store.images.remove("app:1")
    with pytest.raises(error, match=told):
        load(store, beside)
    with pytest.raises(error, match=told):
        load(store, together(artifact(), beside))
    assert store.map() == {}


def test_where_nothing_can_be_taken_the_first_reason_is_told(store: LayerStore) -> None:
    with pytest.raises(InvalidImage, match=r"none of 2 images can be taken.*artifact"):
        load(store, together(artifact(artifactType="a/b"), artifact(artifactType="c/d")))
    assert store.images.list() == []


@pytest.mark.parametrize("strip_manifest", [False, True])
def test_descriptors_need_no_media_type(store: LayerStore, strip_manifest: bool) -> None:
    def strip(descriptor: dict[str, Any], manifest: dict[str, Any], _files: Members) -> None:
        for one in (descriptor, manifest["config"], *manifest["layers"]):
            one.pop("mediaType")
        if strip_manifest:
            manifest.pop("mediaType", None)

    (image,), notes = load(store, changed(oci_layout([LAYER], APP), strip))
    assert (image.tags, notes) == (("app:1",), [])


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ],
)
def test_a_layer_that_is_not_passed_on_is_a_plain_layer_if_it_is_there(
    store: LayerStore, kind: str
) -> None:
    def foreign(_d: dict[str, Any], manifest: dict[str, Any], _files: Members) -> None:
        manifest["layers"][0] |= {"mediaType": kind, "urls": ["https://example.org/layer"]}

    (image,), _ = load(store, changed(oci_layout([LAYER], APP), foreign))
    assert image.tags == ("app:1",)
    absent = changed(oci_layout([OTHER], APP), foreign)
    del absent[blob(OTHER)]
    with pytest.raises(InvalidImage, match=r"is missing, which is kept at https://example\.org"):
        load(store, absent)


@pytest.mark.parametrize("prefix", ["./", "/", "//", "./a/../"])
def test_keys_of_any_case_and_absolute_names_are_those_that_docker_takes(
    store: LayerStore, prefix: str
) -> None:
    members = docker_archive([LAYER], ["app:1"])
    (entry,) = json.loads(members["manifest.json"])
    odd = {"config": entry["Config"], "repoTags": entry["RepoTags"], "LAYERS": entry["Layers"]}
    members["manifest.json"] = json.dumps([odd]).encode()
    (image,), notes = load(store, {prefix + name: content for name, content in members.items()})
    assert (image.tags, notes) == (("app:1",), [])


def test_keys_of_a_layout_and_a_configuration_count_in_any_case(store: LayerStore) -> None:
    layout = oci_layout([LAYER], APP)
    odd = json.dumps(
        {"Architecture": host_platform().architecture, "OS": "linux",
         "RootFS": {"Type": "layers", "Diff_IDs": [digest_of(LAYER)]}}
    ).encode()  # fmt: skip

    def respell(descriptor: dict[str, Any], manifest: dict[str, Any], files: Members) -> None:
        files[blob(odd)] = odd
        manifest["Config"] = described(odd, manifest.pop("config")["mediaType"])
        manifest["LAYERS"] = manifest.pop("layers")
        descriptor["mediatype"] = descriptor.pop("mediaType")

    (image,), notes = load(store, changed(layout, respell))
    assert (image.tags, image.architecture, notes) == (
        ("app:1",),
        host_platform().architecture,
        [],
    )


def test_an_image_for_another_machine_is_taken_only_with_a_word(store: LayerStore) -> None:
    foreign = oci_layout([OTHER], APP, architecture=FOREIGN)
    (image,), (note,) = load(store, foreign)
    assert image.architecture == FOREIGN
    assert f"is for linux/{FOREIGN}: there is none for {host_platform()}" in note
    with pytest.raises(InvalidImage, match=f"has no image for {host_platform()}"):
        load(store, foreign, platform=f"linux/{host_platform().architecture}")


@pytest.mark.parametrize("old", [False, True])
def test_one_of_a_docker_archive_is_taken_with_a_word_too(store: LayerStore, old: bool) -> None:
    foreign = docker_archive([OTHER], ["app:1"], architecture=FOREIGN)
    if old:
        foreign = legacy_layer(0, None, OTHER, architecture=FOREIGN)
        foreign["repositories"] = json.dumps({"app": {"1": IDS[0]}}).encode()
    (image,), (note,) = load(store, foreign)
    assert (image.tags, image.architecture) == (("app:1",), FOREIGN)
    assert f"is for linux/{FOREIGN}, not for {host_platform()}" in note
    assert load(store, foreign, all_platforms=True)[1] == []
    assert load(store, foreign, platform=f"linux/{FOREIGN}")[1] == []
    with pytest.raises(InvalidImage, match=f"is for linux/{FOREIGN}, not for linux/s390x"):
        load(store, foreign, platform="linux/s390x")


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_images_for_two_machines_have_is_of_this_one_s(
    store: LayerStore, order: int
) -> None:
    mine = docker_archive([LAYER], ["app:1"], architecture=host_platform().architecture)
    other = docker_archive([OTHER], ["app:1", "other:1"], architecture=FOREIGN)
    entries = [json.loads(one["manifest.json"])[0] for one in (mine, other)]
    entries[1]["Layers"] = ["other.tar"]
    manifest = json.dumps(entries[::order]).encode()
    both = {**other, "other.tar": OTHER, **mine, "manifest.json": manifest}
    images, notes = load(store, both)
    assert {image.architecture: image.tags for image in images} == {
        host_platform().architecture: ("app:1",),
        FOREIGN: ("other:1",),
    }
    assert len(notes) == 2
    assert f"'app:1' is for {host_platform()}, see --platform" in notes[1]


def test_a_manifest_is_of_the_platform_that_its_configuration_names(store: LayerStore) -> None:
    mine = oci_layout([LAYER], APP, architecture=host_platform().architecture)
    for both in (
        together(oci_layout([OTHER], APP, architecture=FOREIGN), mine),
        together(mine, oci_layout([OTHER], APP, architecture=FOREIGN)),
    ):
        (image,), notes = load(store, both)
        assert (image.architecture, notes) == (host_platform().architecture, [])


def test_zeros_behind_a_compressed_layer_are_skipped(store: LayerStore) -> None:
    padded = docker_archive(
        [LAYER], ["app:1"], compress=lambda tar: gzip.compress(tar) + bytes(1000)
    )
    (image,), notes = load(store, padded)
    assert (image.tags, notes) == (("app:1",), [])


def test_a_step_of_history_that_is_null_is_an_empty_one(store: LayerStore) -> None:
    steps = [None, {"created_by": "x"}]
    (image,), _ = load(store, docker_archive([LAYER, OTHER], ["odd:1"], history=steps))
    assert [step.created_by for step in image.history] == [None, "x"]
    assert store.images.config("odd:1")["history"] == steps
    with store.images.create("rw", "odd:1") as rw:
        made = store.images.commit(rw, "odd:2")
    assert len(made.history) == 3
