"""What can't be written to a transport, or be read from `dir:`, and that nothing is left of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerstore import DriverError, InvalidArgument, InvalidImage, LayerStore, LayerStoreError
from tests.docker.transports.places import contents, linked_out, swapped_for
from tests.images.samples import BASE, LAYERS, disk, load
from tests.support.archives import NAME, docker_archive

OTHER = "other/app:2"


def test_a_directory_of_other_things_is_left_alone(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    (tmp_path / "mine").write_text("mine")
    before = contents(tmp_path)
    for transport in ("oci", "dir"):
        with pytest.raises(InvalidArgument, match="something lies there"):
            store.images.save([NAME], f"{transport}:{tmp_path}")
        with pytest.raises(DriverError, match="File exists"):
            store.images.save([NAME], f"{transport}:{tmp_path}/mine")
        with pytest.raises(DriverError):
            store.images.save([NAME], f"{transport}:{tmp_path}/mine/beneath")
    assert contents(tmp_path) == before


BAD_TARGETS = {
    "containers-storage:[/x]app": "only read",
    "oci:{0}:@0": "a name, not a place",
    "docker-archive:{0}:app@sha256:" + "a" * 64: "tag",
    "docker-daemon:sha256:" + "a" * 64: "not an ID",
}


def test_what_nothing_can_be_written_to_is_told(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    load(store, docker_archive([BASE], [OTHER]))
    for target, reason in BAD_TARGETS.items():
        with pytest.raises(LayerStoreError, match=reason):
            store.images.save([NAME], target.format(tmp_path / "new"))
    for target in ("oci:{0}:one", "dir:{0}", "docker-archive:{0}:one"):
        with pytest.raises(InvalidArgument, match="one image"):
            store.images.save([NAME, OTHER], target.format(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("transport", ["oci:{0}", "dir:{0}"])
def test_a_save_that_fails_leaves_the_directory_as_it_was(
    store: LayerStore, tmp_path: Path, transport: str, there: bool
) -> None:
    """The top layer's files are damaged, after the layers beneath it were written."""
    load(store, docker_archive([BASE], [OTHER]))
    image = store.images.get(load(store, docker_archive(LAYERS)))
    target = transport.format(tmp_path / "deep/place")
    if there:
        store.images.save([OTHER], target)
    before = contents(tmp_path)
    top = store.get(str(image.chain_id))
    tree = top.metadata()
    top.release()
    place = tree.get("UpperDir") or next(iter(tree.values()))
    Path(place, "etc/name").write_bytes(b"not")
    with pytest.raises(LayerStoreError, match="should be"):
        store.images.save([NAME], target)
    assert contents(tmp_path) == before


def _link_away(layout: Path) -> None:
    (layout.parent / "outside").mkdir()
    (layout / "blobs").symlink_to(layout.parent / "outside")


def _in_the_way(layout: Path) -> None:
    """Have a directory where the last blob goes."""
    (layout.parent / "elsewhere").rename(layout / "blobs")
    *others, last = sorted((layout / "blobs/sha256").iterdir())
    for blob in (*others, last):
        blob.unlink()
    last.mkdir()


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "an index that is a directory": lambda layout: (layout / "index.json").mkdir(),
    "an index that is none": lambda layout: (layout / "index.json").write_text("[]"),
    "a link that leads out": _link_away,
    "something in a blob's place": _in_the_way,
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_a_layout_that_cannot_be_added_to_is_as_it_was(
    store: LayerStore, tmp_path: Path, what: str
) -> None:
    """What is in the way is found only when files take their places."""
    load(store, docker_archive(LAYERS))
    store.images.save([NAME], f"oci:{tmp_path}/layout")
    (tmp_path / "layout/index.json").unlink()
    (tmp_path / "layout/blobs").rename(tmp_path / "elsewhere")
    IN_THE_WAY[what](tmp_path / "layout")
    before = contents(tmp_path)
    with pytest.raises(LayerStoreError, match=f"{tmp_path}/layout"):
        store.images.save([NAME], f"oci:{tmp_path}/layout")
    assert contents(tmp_path) == before


def test_what_a_killed_save_left_goes_with_the_next(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    left = tmp_path / "dir/layerstore.0123456789abcdef.tmp"
    left.mkdir(parents=True)
    (left / "0").write_bytes(b"half")
    store.images.save([NAME], f"dir:{tmp_path}/dir")
    assert not left.exists()


def test_a_blob_that_is_damaged_is_written_anew(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    store.images.save([NAME], f"oci:{tmp_path}/layout")
    before = contents(tmp_path)
    blob = max((tmp_path / "layout/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"damaged")
    store.images.save([NAME], f"oci:{tmp_path}/layout")
    assert contents(tmp_path) == before


def test_an_image_of_a_directory_is_replaced_whole(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    load(store, docker_archive([BASE], [OTHER]))
    for name, place in ((NAME, "one"), (OTHER, "one"), (OTHER, "two")):
        store.images.save([name], f"dir:{tmp_path}/{place}")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


# Hostile ones


def _listing(place: Path, change: Any) -> None:
    path = place / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def _linked(place: Path) -> None:
    """Put symbolic links to good blobs outside in the place of the blobs."""
    for path in [path for path in place.iterdir() if len(path.name) == 64]:
        linked_out(path, place.parent / f"outside-{path.name}")


def _first_layer(place: Path) -> Path:
    document = json.loads((place / "manifest.json").read_bytes())
    return place / str(document["layers"][0]["digest"]).partition(":")[2]


HOSTILE: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda place: (place / "manifest.json").unlink(),
    "no JSON": lambda place: (place / "manifest.json").write_bytes(b"{"),
    "a huge manifest": lambda place: os.truncate(place / "manifest.json", 1 << 30),
    "a manifest elsewhere": lambda place: linked_out(place / "manifest.json", place.parent / "m"),
    "a digest that is a path": lambda place: _listing(
        place, lambda m: m["config"].update(digest="sha256:../../../etc/passwd")
    ),
    "a layer's digest that is a path": lambda place: _listing(
        place, lambda m: m["layers"][0].update(digest="../outside")
    ),
    "links that lead out": _linked,
    "a layer missing": lambda place: _first_layer(place).unlink(),
    "a layer that is a directory": lambda place: swapped_for(_first_layer(place), Path.mkdir),
    "a layer that is a pipe": lambda place: swapped_for(_first_layer(place), os.mkfifo),
    "a layer with other content": lambda place: _first_layer(place).write_bytes(
        bytes(_first_layer(place).stat().st_size)
    ),
    "one layer too many": lambda place: _listing(
        place, lambda m: m["layers"].append(m["layers"][0])
    ),
    "another size": lambda place: _listing(place, lambda m: m["config"].update(size=1)),
    "an index of itself": lambda place: (place / "manifest.json").write_text(
        json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64, "size": 1}]})
    ),
}


def test_of_a_bad_directory_nothing_is_loaded(store: LayerStore, tmp_path: Path) -> None:
    image = load(store, docker_archive(LAYERS))
    for number in range(len(HOSTILE)):
        (tmp_path / str(number)).mkdir()
        store.images.save([NAME], f"dir:{tmp_path}/{number}/dir")
    store.images.remove(image, force=True)
    before = disk(store)
    for number, what in enumerate(HOSTILE):
        place = tmp_path / str(number) / "dir"
        HOSTILE[what](place)
        with pytest.raises(LayerStoreError) as caught:
            store.images.load(f"dir:{place}")
        assert str(place) in str(caught.value), what
        assert store.images.list() == [], what
        assert disk(store) == before, what


def test_a_transport_takes_its_own_format_only(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    store.images.save([NAME], tmp_path / "both.tar")
    store.images.save([NAME], f"oci:{tmp_path}/layout")
    store.images.save([NAME], f"dir:{tmp_path}/dir")
    for place in (f"oci:{tmp_path}/dir", f"docker-archive:{tmp_path}/layout", f"oci:{tmp_path}"):
        with pytest.raises(InvalidImage):
            store.images.load(place)
    for place in ("oci-archive", "docker-archive"):
        assert store.images.load(f"{place}:{tmp_path}/both.tar")[0].loaded_as == (NAME,)
