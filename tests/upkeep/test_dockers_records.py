"""Which image a container of dockerd's was made from, as dockerd has it; anything may be there."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import DriverError, Image, ImageInUse, LayerStore
from layerstore.drivers.records.dockers import image_of_container
from tests.conftest import OpenStore
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar

CONTAINER = "c0" * 32
LAYER = layer_tar({"etc": None, "etc/hostname": b"case"})


def record(root: Path | str, content: object, name: str = CONTAINER) -> Path:
    """Write dockerd's record of a container; returns its path."""
    place = Path(root, "containers", name)
    place.mkdir(parents=True)
    path = place / "config.v2.json"
    path.write_text(json.dumps(content))
    return path


def test_the_image_is_the_one_that_dockerd_says(tmp_path: Path) -> None:
    record(tmp_path, {"ID": CONTAINER, "Image": "sha256:" + "1a" * 32, "Config": {"Image": "x"}})
    assert image_of_container(str(tmp_path), CONTAINER) == "sha256:" + "1a" * 32
    assert image_of_container(str(tmp_path), "web") is None
    assert image_of_container(str(tmp_path), "c1" * 32) is None


@pytest.mark.parametrize(
    "content",
    [{}, [], None, {"Image": 5}, {"Image": "sha256:"}, {"Image": "sha256:" + "1a" * 32 + "\n"},
     {"Image": "../" + "1a" * 32}, "x"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_image_is_none(tmp_path: Path, content: object) -> None:
    record(tmp_path, content)
    assert image_of_container(str(tmp_path), CONTAINER) is None


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff{")


def _nothing(path: Path) -> None:
    path.unlink()


def _file_instead(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    path.parent.touch()


@pytest.mark.parametrize("change", [_garbage, _nothing, _file_instead])
def test_what_is_not_there_is_none(tmp_path: Path, change: Callable[[Path], None]) -> None:
    change(record(tmp_path, {}))
    assert image_of_container(str(tmp_path), CONTAINER) is None


def _link(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_linked_directory_is_none_of_a_container_s(tmp_path: Path) -> None:
    path = record(tmp_path, {"Image": "sha256:" + "1a" * 32})
    path.parent.rename(path.parent.with_name("other"))
    path.parent.symlink_to("other")
    assert image_of_container(str(tmp_path), CONTAINER) is None


@pytest.mark.parametrize("change", [_link, _fifo])
def test_no_link_is_followed_and_nothing_is_waited_for(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(record(tmp_path, {"Image": "sha256:" + "1a" * 32}))
    with pytest.raises(DriverError, match=CONTAINER):
        image_of_container(str(tmp_path), CONTAINER)


def test_of_images_with_the_same_layers_the_container_keeps_its_own(open_store: OpenStore) -> None:
    def load(store: LayerStore, name: str, author: str) -> Image:
        archive = as_tar(docker_archive([LAYER], [name], author=author))
        (image,) = store.images.load(io.BytesIO(archive))
        return image

    with open_store() as store:
        own, other = (load(store, f"{name}:1", name) for name in ("own", "other"))
        assert (own.chain_id, own.id != other.id) == (other.chain_id, True)
        store.create_rw_layer(CONTAINER, own.chain_id)
    record(store.root, {"ID": CONTAINER, "Image": own.id})
    with open_store() as store:
        (mount,) = store.mounts()
        assert mount.image == own.id
        found = store.images.image_of(mount.mount_id, mount.parent)
        assert found is not None
        assert found.id == own.id
        with pytest.raises(ImageInUse, match=CONTAINER):
            store.images.remove("own:1")
        assert [gone.deleted for gone in store.images.prune(every=True)] == [other.id]
        assert [image.id for image in store.images.list()] == [own.id]
