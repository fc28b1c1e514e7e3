"""Calls about images that fail, whatever the archive: told as what it is, nothing left behind."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import (
    CallerError,
    ImageDoesNotExist,
    IntegrityError,
    InvalidName,
    LayerStore,
    StorageFull,
)
from tests.conftest import OpenStore
from tests.images.samples import disk, docker
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.tars import layer_tar

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_stream_that_fails_is_the_callers_error(store: LayerStore) -> None:
    class Failing:
        def read(self, _size: int, /) -> bytes:
            raise ZeroDivisionError("no more")

    with pytest.raises(CallerError, match="no more"):
        store.images.load(Failing())


def test_a_failing_progress_ends_the_load(store: LayerStore) -> None:
    def progress(_what: str, _done: int, _total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises((CallerError, ZeroDivisionError)):
        store.images.load(io.BytesIO(as_tar(docker())), progress=progress)


def test_what_does_not_exist(store: LayerStore, tmp_path: Path) -> None:
    for act in (
        lambda: store.images.get(NAME),
        lambda: store.images.remove(NAME),
        lambda: store.images.tag(NAME, "x"),
        lambda: store.images.create("web", NAME),
        lambda: store.images.save([NAME], tmp_path / "out.tar"),
        lambda: store.images.config(NAME),
    ):
        with pytest.raises(ImageDoesNotExist, match=NAME):
            act()
    assert store.mounts() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "../x", "x:", "x@sha256:0", "a" * 300, "é"])
def test_names_that_are_none(store: LayerStore, name: str) -> None:
    store.images.load(io.BytesIO(as_tar(docker())))
    try:
        with pytest.raises((InvalidName, ImageDoesNotExist)):
            store.images.get(name)
        with pytest.raises(InvalidName):
            store.images.tag(NAME, name)
    finally:
        store.images.remove(NAME)


def test_a_broken_layer_is_not_saved(store: LayerStore, tmp_path: Path) -> None:
    store.images.load(io.BytesIO(as_tar(docker())))
    layer = store.get(store.images.get(NAME).layers[0])
    data = layer.metadata()
    file = Path(data.get("UpperDir") or data["Dir"], "bin/sh")
    content = file.read_bytes()
    file.write_bytes(b"??")
    out = tmp_path / "out.tar"
    out.write_bytes(b"was here before")
    with pytest.raises(IntegrityError, match="bin/sh"):
        store.images.save([NAME], out)
    assert out.read_bytes() == b"was here before"
    assert list(tmp_path.iterdir()) == [out]
    file.write_bytes(content)
    layer.release()
    store.images.remove(NAME)


@pytest.mark.root
def test_a_disk_that_fills_up(
    make_file_system: Callable[[str, int], Path], store: LayerStore, open_store: OpenStore
) -> None:
    small = make_file_system("tmpfs", 2)
    data = as_tar(docker_archive([layer_tar({"f": os.urandom(3 << 20)})]))
    path = Path(store.root, "large.tar")
    path.write_bytes(data)
    with open_store(small / "store") as full:
        with pytest.raises(StorageFull):
            full.images.load(path)
        with pytest.raises(StorageFull):
            full.images.load(io.BytesIO(data))
        assert disk(full) == []
        store.images.load(io.BytesIO(as_tar(docker_archive([layer_tar({"f": bytes(3 << 20)})]))))
        with pytest.raises(StorageFull):
            store.images.save([NAME], small / "out.tar")
        assert not (small / "out.tar").exists()
        store.images.remove(NAME)
