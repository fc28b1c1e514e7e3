"""Images to and from layouts and archives by their transports, as skopeo and umoci see them."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.docker.other_engines import make_layout, run
from tests.docker.transports.places import contents
from tests.images.samples import BASE, LAYERS, load
from tests.support.archives import NAME, docker_archive
from tests.support.nasty_image import nasty_layers

pytestmark = pytest.mark.needs("skopeo", "umoci")

OTHER = "other/app:2"
WRITTEN = ("oci:{0}/d:latest", "oci-archive:{0}/f:latest", "docker-archive:{0}/f:x:1", "dir:{0}/d")


@pytest.fixture
def image(store: LayerStore) -> str:
    """The ID of an image in the store, of layers that have everything in them."""
    layers = nasty_layers()
    return load(store, docker_archive(layers))


@pytest.mark.root
@pytest.mark.parametrize("transport", WRITTEN)
def test_skopeo_reads_what_is_saved_and_we_read_what_skopeo_copies(
    store: LayerStore, image: str, tmp_path: Path, transport: str
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours, theirs = transport.format(tmp_path / "ours"), transport.format(tmp_path / "theirs")
    store.images.save([NAME], ours)
    run("skopeo", "copy", "-q", ours, theirs)
    (loaded,) = store.images.load(ours)
    assert loaded.id == image
    store.images.remove(image, force=True)
    assert store.map() == {}
    (loaded,) = store.images.load(theirs)
    assert loaded.id == image


@pytest.mark.parametrize("transport", WRITTEN)
def test_equal_images_are_saved_as_equal_bytes(
    store: LayerStore, tmp_path: Path, transport: str
) -> None:
    load(store, docker_archive(LAYERS))
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        store.images.save([NAME], transport.format(tmp_path / place))
    assert contents(tmp_path / "one") == contents(tmp_path / "two") != {}
    before = contents(tmp_path / "one")
    store.images.save([NAME], transport.format(tmp_path / "one"))
    assert contents(tmp_path / "one") == before


def test_an_image_is_added_to_what_umoci_and_skopeo_made(store: LayerStore, tmp_path: Path) -> None:
    layout = make_layout([BASE], tmp_path / "layout")
    load(store, docker_archive(LAYERS))
    store.images.save([NAME], f"oci:{layout}:second")
    assert run("umoci", "list", "--layout", layout).split() == [b"latest", b"second"]
    run("skopeo", "copy", "-q", f"oci:{layout}:second", f"oci:{layout}:third")
    store.images.save([NAME], f"oci:{layout}:latest")  # which gets to be another image
    assert run("umoci", "list", "--layout", layout).split() == [b"latest", b"second", b"third"]
    ids = {store.images.load(f"oci:{layout}:{ref}")[0].id for ref in ("latest", "second", "third")}
    assert ids == {store.images.get(NAME).id}
    index = json.loads((layout / "index.json").read_bytes())
    assert len(index["manifests"]) == 3


def test_without_a_reference_images_keep_their_names(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    load(store, docker_archive([BASE], [OTHER]))
    for names in ([NAME], [OTHER], [NAME, OTHER]):
        store.images.save(names, f"oci:{tmp_path}/layout")
    index = json.loads((tmp_path / "layout/index.json").read_bytes())
    assert len(index["manifests"]) == 2
    store.images.remove(NAME)
    store.images.remove(OTHER)
    loaded = store.images.load(f"oci:{tmp_path}/layout")
    assert [image.loaded_as for image in loaded] == [(NAME,), (OTHER,)]
    assert store.images.load(f"oci:{tmp_path}/layout:{OTHER}")[0].loaded_as == (OTHER,)


def test_several_can_write_to_a_place_at_once(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    targets = [f"oci:{tmp_path}/layout:{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        save = partial(store.images.save, [NAME])
        list(threads.map(save, [*targets, *[f"dir:{tmp_path}/dir"] * 6]))
    assert store.images.load(f"dir:{tmp_path}/dir")
    assert {len(store.images.load(target)) for target in targets} == {1}
    left = {path.name for path in (tmp_path / "layout").iterdir()}
    assert left == {"blobs", "index.json", "oci-layout"}


def test_by_an_id_an_image_is_added_once_without_a_name(store: LayerStore, tmp_path: Path) -> None:
    image = load(store, docker_archive(LAYERS))
    for _ in range(2):
        store.images.save([image], f"oci:{tmp_path}/layout")
    store.images.save([NAME], f"oci:{tmp_path}/layout")
    (listed,) = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]
    assert listed["annotations"]["org.opencontainers.image.ref.name"] == NAME.partition(":")[2]
    store.images.save([image], f"oci:{tmp_path}/layout")
    assert len(json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]) == 1


def test_of_several_platforms_in_a_directory_one_is_taken(
    store: LayerStore, tmp_path: Path
) -> None:
    ids = {}
    for architecture in ("amd64", "arm64"):
        members = docker_archive(LAYERS, [f"a:{architecture}"], architecture=architecture)
        ids[architecture] = load(store, members)
        store.images.save([f"a:{architecture}"], f"oci:{tmp_path}/layout:{architecture}")
    _list_both(tmp_path / "layout")
    run("skopeo", "copy", "-q", "--all", f"oci:{tmp_path}/layout:both", f"dir:{tmp_path}/dir")
    assert len(list((tmp_path / "dir").glob("*.manifest.json"))) == 2
    for architecture, image in ids.items():
        (loaded,) = store.images.load(f"dir:{tmp_path}/dir", platform=f"linux/{architecture}")
        assert loaded.id == image
    both = store.images.load(f"dir:{tmp_path}/dir", all_platforms=True)
    assert {one.id for one in both} == {*ids.values()}


def _list_both(layout: Path) -> None:
    """Add an index of the images that a layout has to it, as `both`."""
    path = layout / "index.json"
    index = json.loads(path.read_bytes())
    inner = {**index, "manifests": [{**one, "annotations": {}} for one in index["manifests"]]}
    content = json.dumps(inner).encode()
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    described = {
        "mediaType": index["mediaType"],
        "digest": f"sha256:{digest}",
        "size": len(content),
        "annotations": {"org.opencontainers.image.ref.name": "both"},
    }
    path.write_text(json.dumps({**index, "manifests": [described]}))
