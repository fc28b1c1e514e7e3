"""Files whose names would be whiteouts in a layer's tar are refused, by their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerstore import InvalidName, LayerStore, RWLayer
from layerstore.command import main
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root

NAMES = (".wh.keep", "d/.wh..wh..opq", "d/.wh.", ".wh..wh.plnk")


@pytest.fixture
def rw(store: LayerStore) -> RWLayer:
    base = store.register(layer_tar({"keep": b"1", "d": None, "d/kept": b"2"}))
    return store.create_rw_layer("web", base.chain_id)


def put(rw: RWLayer, *names: str) -> None:
    if "/fuse-overlayfs/" in rw.metadata().get("MergedDir", ""):
        pytest.skip("with fuse-overlayfs such names can't be made")
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


def test_a_tar_of_all_that_it_shows_refuses_them_too(store: LayerStore, rw: RWLayer) -> None:
    put(rw, "d/.wh.kept")
    with (
        rw.whole_tar_stream() as stream,
        pytest.raises(InvalidName, match="says that something is gone") as caught,
    ):
        stream.read()
    assert caught.value.name == "d/.wh.kept"
    before = store.map()
    with store.create_rw_layer("bare") as bare:
        put(bare, ".wh.x")
        with pytest.raises(InvalidName, match=r"\.wh\.x"):
            store.images.flatten_rw_layer(bare, "app:1")
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


def test_they_are_left_out_if_that_is_wanted_and_told_once_for_each(
    store: LayerStore, rw: RWLayer
) -> None:
    with rw.mounted() as path:
        Path(path, ".wh.keep").touch()
        Path(path, "d/.wh..wh..opq").touch()
        Path(path, ".wh.made/below").mkdir(parents=True)
        Path(path, ".wh.made/.wh.f").touch()
        Path(path, "own").write_text("own")
    marked = {change.path for change in rw.changes() if change.is_whiteout_name}
    assert marked == {
        "/.wh.keep", "/d/.wh..wh..opq", "/.wh.made", "/.wh.made/below", "/.wh.made/.wh.f",
    }  # fmt: skip
    with rw.tar_stream(skip_whiteout_names=True) as stream:
        layer = store.register(stream, rw.parent)
    with store.create_rw_layer("again", layer.chain_id) as again, again.mounted() as path:
        found = sorted(str(p.relative_to(path)) for p in Path(path).rglob("*"))
    assert found == ["d", "d/kept", "keep", "own"]


def test_a_commit_tells_what_it_leaves_out(store: LayerStore) -> None:
    notes: list[str] = []
    with store.create_rw_layer("bare") as rw:
        put(rw, ".wh.x", "own")
        with rw.mounted() as path:
            Path(path, ".wh.d").mkdir()
            Path(path, ".wh.d/f").touch()
        image = store.images.commit(rw, "app:1", skip_whiteout_names=True, notice=notes.append)
    assert [note.partition(",")[0] for note in notes] == ["left out: /.wh.d", "left out: /.wh.x"]
    with store.images.create("made", image.id) as made, made.mounted() as path:
        assert [p.name for p in Path(path).iterdir()] == ["own"]


def test_a_deletion_is_not_marked(rw: RWLayer) -> None:
    with rw.mounted() as path:
        Path(path, "keep").unlink()
    assert [(str(c), c.is_whiteout_name) for c in rw.changes()] == [("D /keep", False)]


def test_the_command_marks_and_leaves_them_out(
    store: LayerStore, rw: RWLayer, capfd: pytest.CaptureFixture[str]
) -> None:
    put(rw, ".wh.keep", "own")
    begin = ["--root", store.root, "--driver", store.driver_name]
    store.close(keep_mounts=True)
    assert main([*begin, "diff", "web"]) == 0
    marked, plain = capfd.readouterr().out.splitlines()
    assert marked.startswith("A /.wh.keep (no layer can have it")
    assert plain == "A /own"
    assert main([*begin, "diff", "--json", "web"]) == 0
    assert [c.get("whiteout_name") for c in json.loads(capfd.readouterr().out)] == [True, None]
