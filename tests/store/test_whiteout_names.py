"""Files whose names would be whiteouts in a layer's tar are refused, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerstore import InvalidName, LayerStore, RWLayer
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root

NAMES = (".wh.keep", "d/.wh..wh..opq", "d/.wh.", ".wh..wh.plnk")


@pytest.fixture
def rw(store: LayerStore) -> RWLayer:
    base = store.register(layer_tar({"keep": b"1", "d": None, "d/kept": b"2"}))
    return store.create_rw_layer("web", base.chain_id)


def put(rw: RWLayer, *names: str) -> None:
    with rw.mounted() as path:
        for name in names:
            Path(path, name).touch()


@pytest.mark.parametrize("name", NAMES)
def test_a_commit_refuses_and_names_what_it_can_not_say(
    store: LayerStore, rw: RWLayer, name: str
) -> None:
    put(rw, name, "other")
    with (
        rw.tar_stream() as stream,
        pytest.raises(InvalidName, match="says that something is gone") as caught,
    ):
        stream.read()
    assert caught.value.name == name
    before = store.map()
    with store.create_rw_layer("bare") as bare:
        put(bare, ".wh.x")
        with pytest.raises(InvalidName, match=r"\.wh\.x"):
            store.images.commit(bare, "app:1")
    assert (store.map(), store.images.list()) == (before, [])


def test_all_such_names_are_told_at_once(rw: RWLayer) -> None:
    put(rw, *(f".wh.{number}" for number in range(3)))
    with rw.tar_stream() as stream, pytest.raises(InvalidName) as caught:
        stream.read()
    assert caught.value.name.split(", ") == [".wh.0", ".wh.1", ".wh.2"]


def test_whiteouts_of_the_kernel_are_said_as_ever(store: LayerStore, rw: RWLayer) -> None:
    with rw.mounted() as path:
        Path(path, "keep").unlink()
    with rw.tar_stream() as stream:
        layer = store.register(stream, rw.parent)
    with store.create_rw_layer("again", layer.chain_id) as again, again.mounted() as path:
        assert sorted(p.name for p in Path(path).iterdir()) == ["d"]


def test_once_it_is_renamed_all_is_well(store: LayerStore, rw: RWLayer) -> None:
    put(rw, ".wh.keep")
    with rw.mounted() as path:
        Path(path, ".wh.keep").rename(Path(path, "wh.keep"))
    with rw.tar_stream() as stream:
        assert b"wh.keep" in stream.read()
