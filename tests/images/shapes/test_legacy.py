"""Archives of `docker save` before 1.10: a folder for each layer, and which is called how."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from layerstore import InvalidImage, LayerStore, LimitExceeded
from tests.images.samples import Members, files_of
from tests.images.shapes.shapes import in_tar
from tests.support.archives import as_directory, as_tar
from tests.support.tars import layer_tar

TARS = [
    layer_tar({"etc": None, "etc/name": b"base", "gone": b"x"}),
    layer_tar({"etc/name": b"middle"}),
    layer_tar({"etc/name": b"top", ".wh.gone": b""}),
]
IDS = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(4)]


def layer(number: int, parent: int | None, tar: bytes, **fields: Any) -> Members:
    """Return one layer's folder."""
    document = {
        "id": IDS[number],
        **({"parent": IDS[parent]} if parent is not None else {}),
        "created": f"2015-01-0{number + 1}T00:00:00.120000000Z",
        "container": "c" * 64,
        "container_config": {
            "Hostname": "h",
            "Cmd": ["/bin/sh", "-c", f"#(nop) <{number}> & more"],
        },
        "docker_version": "1.9.1",
        "author": "somebody",
        "config": {"Env": ["A=1"], "Cmd": ["/bin/sh"], "OpenStdin": False},
        "architecture": "amd64",
        "os": "linux",
        "Size": len(tar),
        **fields,
    }
    home = IDS[number]
    return {
        f"{home}/VERSION": b"1.0",
        f"{home}/json": json.dumps(document).encode(),
        f"{home}/layer.tar": tar,
    }


def chain(**names: dict[str, str]) -> Members:
    """Return an archive of three layers, each on the one before."""
    members: Members = {}
    for number, tar in enumerate(TARS):
        members |= layer(number, number - 1 if number else None, tar)
    repositories = names or {"old": {"1": IDS[2]}}
    return {**members, "repositories": json.dumps(repositories).encode()}


def load(store: LayerStore, members: Members, **options: Any) -> tuple[list[Any], list[str]]:
    notes: list[str] = []
    images = store.images.load(io.BytesIO(as_tar(members)), notice=notes.append, **options)
    return [image.loaded_as for image in images], notes


def test_each_layer_is_an_image_on_the_one_before(store: LayerStore) -> None:
    assert load(store, chain()) == ([("old:1",)], [])
    image = store.images.get("old:1")
    assert files_of(store, "old:1") == {"etc/name": b"top"}
    assert [step.created_by for step in image.history] == [
        f"/bin/sh -c #(nop) <{number}> & more" for number in range(3)
    ]
    assert image.history[0].created == "2015-01-01T00:00:00.12Z"
    middle = store.images.get(image.parent or "")
    assert middle.names == ()
    assert files_of(store, middle.id) == {"etc/name": b"middle", "gone": b"x"}
    assert len(store.images.list()) == 3
    removed = store.images.remove("old:1")
    assert len(removed.parents) == 2
    assert store.images.list() == []
    assert store.map() == {}


def test_the_configuration_is_the_top_layers_but_for_what_is_its_own(store: LayerStore) -> None:
    load(store, chain())
    config = store.images.config("old:1")
    assert config.keys() == {
        "created", "container", "container_config", "docker_version", "author", "config",
        "architecture", "os", "rootfs", "history",
    }  # fmt: skip
    assert config["created"] == "2015-01-03T00:00:00.120000000Z"
    diffs = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in TARS]
    assert config["rootfs"] == {"type": "layers", "diff_ids": diffs}


def test_several_names_and_images_and_one_without_a_name_are_loaded(store: LayerStore) -> None:
    members = {
        **chain(old={"1": IDS[2], "base": IDS[0]}, other={"x": IDS[2]}),
        **layer(3, 0, layer_tar({"alone": b""})),
    }
    images, notes = load(store, members)
    assert sorted(images) == [(), ("old:1", "other:x"), ("old:base",)]
    assert notes == []
    assert len(store.images.list()) == 4


@pytest.mark.parametrize("reference", ["old:base", "base", "@0"])
def test_one_of_several_is_chosen(store: LayerStore, reference: str) -> None:
    if reference == "base":
        members = chain(base={"latest": IDS[0]}, old={"1": IDS[2]})
        assert load(store, members, reference=reference) == ([("base:latest",)], [])
    else:
        members = chain(old={"1": IDS[2], "base": IDS[0]})
        assert load(store, members, reference=reference) == ([("old:base",)], [])
    assert len(store.images.list()) == 1


def test_without_repositories_images_are_nameless(store: LayerStore) -> None:
    members = chain()
    del members["repositories"]
    assert load(store, members) == ([()], [])


def test_a_directory_and_compressed_layers_are_taken(store: LayerStore, tmp_path: Path) -> None:
    plain = chain()
    packed = {
        name: gzip.compress(content) if name.endswith("layer.tar") else content
        for name, content in plain.items()
    }
    (first,) = store.images.load(as_directory(packed, tmp_path / "old"))
    load(store, plain)
    assert store.images.get("old:1").id == first.id


def broken(change: str) -> Members:
    members = chain()
    document = json.loads(members[f"{IDS[0]}/json"])
    match change:
        case "circle":
            document["parent"] = IDS[2]
        case "itself":
            document["parent"] = IDS[0]
        case "no parent":
            document["parent"] = "../../etc"
        case "no time":
            document["created"] = "yesterday"
        case "no strings":
            document["container_config"]["Cmd"] = [1]
        case "no JSON":
            return {**members, f"{IDS[0]}/json": b"{"}
        case "no tar":
            del members[f"{IDS[0]}/layer.tar"]
            return members
        case "no such layer":
            return {**members, "repositories": json.dumps({"old": {"1": IDS[3]}}).encode()}
        case "bad names":
            return {**members, "repositories": b'{"old": 1}'}
        case "cut off":
            return {**members, f"{IDS[0]}/layer.tar": gzip.compress(TARS[0])[:50]}
    return {**members, f"{IDS[0]}/json": json.dumps(document).encode()}


@pytest.mark.sampled(2)
@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("circle", "circle|no image"),
        ("itself", "circle"),
        ("no parent", "'../../etc', which is missing"),
        ("no time", "which is missing|no time of RFC"),
        ("no strings", "which is missing|Expected `str`"),
        ("no JSON", "which is missing|not JSON"),
        ("no tar", "layer.tar is missing"),
        ("bad names", "repositories of"),
        ("cut off", "layer.tar: "),
    ],
)
def test_a_broken_archive_is_refused(store: LayerStore, change: str, message: str) -> None:
    with pytest.raises(InvalidImage, match=message):
        load(store, broken(change))


def test_a_name_of_a_layer_that_is_missing_is_told(store: LayerStore) -> None:
    images, (note,) = load(store, broken("no such layer"))
    assert images == [()]
    assert "calls a layer 'old:1' that is missing" in note


def test_what_an_image_that_cannot_be_taken_is_made_from_is_not_left(store: LayerStore) -> None:
    members = {**chain(old={"1": IDS[2]}, base={"1": IDS[3]}), **layer(3, None, TARS[0])}
    members[f"{IDS[2]}/layer.tar"] = b"no tar" * 500
    images, (note,) = load(store, members)
    assert images == [("base:1",)]
    assert note.startswith("left out: ")
    assert len(store.images.list()) == 1


def test_few_bytes_make_no_endless_images(store: LayerStore) -> None:
    deep: Members = {}
    ids = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(201)]
    for number, one in enumerate(ids):
        parent = {"parent": ids[number - 1]} if number else {}
        deep[f"{one}/json"] = json.dumps(parent).encode()
        deep[f"{one}/layer.tar"] = b""
    with pytest.raises(LimitExceeded, match="the layers of one image"):
        load(store, deep)
    wide = {f"{number:064}/json": b"{}" for number in range(4001)}
    with pytest.raises(LimitExceeded, match="the layers of"):
        load(store, wide)
    large = json.dumps({"comment": "x" * 3_000_000}).encode()
    links: dict[str, bytes | str] = {"first/json": large, "first/layer.tar": TARS[0]}
    for number in range(100):
        links |= {f"{number}/json": "../first/json", f"{number}/layer.tar": "../first/layer.tar"}
    with pytest.raises(LimitExceeded, match="the size in bytes of all configurations"):
        store.images.load(io.BytesIO(in_tar(links)))
    assert store.images.list() == []
