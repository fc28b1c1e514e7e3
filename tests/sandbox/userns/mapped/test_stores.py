"""IDs that a store hands out: each once, remembered with the layer, given back with it."""

from __future__ import annotations

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import (
    IdMap,
    IdsExhausted,
    InvalidArgument,
    LayerStore,
    MountNameConflict,
    RWLayer,
)
from layerstore.command import main
from tests.graph.idmapped.inside import as_inside
from tests.support.busybox import NAME, image_tar
from tests.support.tars import layer_tar
from tests.support.ways.opening import Opening

pytestmark = pytest.mark.root


def test_many_made_at_once_never_overlap(opening: Opening) -> None:
    store = opening.store(driver="overlay2", durability="relaxed", id_ranges="1000000:10000")
    base = store.register(io.BytesIO(layer_tar({"a": b"1"})))

    def make(number: int) -> RWLayer:
        return store.create_rw_layer(f"box{number}", base.chain_id, id_map="auto:size=100")

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(make, range(100)))
    assert sorted(rw.id_map for rw in made) == [
        f"0:{1_000_000 + 100 * number}:100" for number in range(100)
    ]
    with pytest.raises(IdsExhausted, match="no 100 IDs in a row are left of 1000000:10000"):
        store.create_rw_layer("more", base.chain_id, id_map="auto:size=100")
    assert len(store.mounts()) == 100
    gone = made[7]
    gone.release()
    again = store.create_rw_layer("more", base.chain_id, id_map="auto:size=100")
    assert again.id_map == gone.id_map


def test_they_are_remembered_as_long_as_a_layer_is_there(opening: Opening) -> None:
    store = opening.store(driver="overlay2")
    first = store.create_rw_layer("first", id_map="auto")
    store.create_rw_layer("second", id_map=IdMap.parse("0:5:1,1:100000:7"))
    store.create_rw_layer("plain")
    store.close()
    store = opening.store(driver="overlay2")
    found = {mount.name: mount.id_map for mount in store.mounts()}
    assert found == {"first": first.id_map, "second": "0:5:1,1:100000:7", "plain": ""}
    third = store.create_rw_layer("third", id_map="auto")
    assert third.id_map == f"0:{int(first.id_map.split(':')[1]) + 65536}:65536"
    store.get_rw_layer("first").release()
    assert store.create_rw_layer("fourth", id_map="auto").id_map == first.id_map


def test_what_fails_takes_none(opening: Opening) -> None:
    store = opening.store(driver="overlay2", id_ranges="1000:100")
    store.create_rw_layer("web", id_map="auto:size=60")
    with pytest.raises(MountNameConflict):
        store.create_rw_layer("web", id_map="auto:size=40")
    for asked, error in (("0:0", InvalidArgument), ("auto:40", InvalidArgument)):
        with pytest.raises(error):
            store.create_rw_layer("other", id_map=asked)
    with pytest.raises(InvalidArgument, match="given already"):
        store.create_rw_layer("other", id_map="auto", storage_opt={"userns": "auto"})
    with pytest.raises(InvalidArgument):
        store.create_rw_layer("other", id_map="auto:size=40", storage_opt={"unknown": "1"})
    rest = store.create_rw_layer("other", storage_opt={"userns": "auto:size=40"})
    assert rest.id_map == "0:1060:40"


def test_a_map_with_this_machines_root_is_told(
    opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    store = opening.store(driver="overlay2", id_ranges="0:5,1000:100000")
    with caplog.at_level(logging.WARNING, "layerstore"):
        assert store.create_rw_layer("ours", id_map="auto:size=4").id_map == "0:1:4"
        assert not caplog.messages
        store.create_rw_layer("roots", id_map="0:0:2")
    (told,) = caplog.messages
    assert told.endswith("in mount roots root of this machine is a user: its map of IDs is 0:0:2")


@pytest.mark.parametrize("scratch", ["disk", "memory"])
def test_a_scratch_layer_has_users_of_its_own(scratch: str, opening: Opening) -> None:
    store = opening.store(driver="overlay2")
    base = store.register(io.BytesIO(layer_tar({"dir": None, "dir/a": b"1"})))
    asked = {"scratch": scratch, "userns": "0:300000:10"}
    with (
        store.create_rw_layer("job", base.chain_id, storage_opt=asked) as rw,
        rw.mounted() as path,
    ):
        as_inside(IdMap.parse(rw.id_map), path, lambda: Path("dir/new").touch())
        assert Path(path, "dir/new").stat().st_uid == 300_000
        assert Path(path, "dir/a").stat().st_uid == 300_000
        assert [str(change) for change in rw.changes()] == ["C /dir", "A /dir/new"]


@pytest.mark.parametrize("text", ["", "1:0", "a b", 5])
def test_ranges_that_are_none_open_no_store(text: object, root_dir: Path) -> None:
    with pytest.raises(InvalidArgument, match="ranges of IDs"):
        LayerStore(root_dir, id_ranges=text)  # type: ignore[arg-type]


@pytest.mark.thorough
@pytest.mark.needs("/bin/busybox")
def test_the_command_has_it(
    root_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.tar").write_bytes(image_tar())
    store = ["--root", str(root_dir / "root"), "--driver", "overlay2", "--id-ranges", "1000:9000"]
    assert main([*store, "load", "-i", str(tmp_path / "image.tar")]) == 0
    assert main([*store, "create", "--userns", "auto:size=100", "box", "--image", NAME]) == 0
    assert main([*store, "create", "--userns", "host", "plain", "--image", NAME]) == 0
    capfd.readouterr()
    assert main([*store, "inspect", "--format", "{{.IdMap}}", "box"]) == 0
    assert capfd.readouterr().out == "0:1000:100\n"
    words = ["sh", "-c", "id -u; cat /proc/self/uid_map"]
    assert main([*store, "run", "--userns", "auto:size=50", NAME, *words]) == 0
    assert capfd.readouterr().out.split() == ["0", "0", "1100", "50"]
    assert main([*store, "run", "--userns", "auto", "--network", "host", NAME, "true"]) == 125
    assert main([*store, "run", "--userns", "auto", NAME, "true"]) == 125
    told = capfd.readouterr().err
    assert "network of its own" in told
    assert "no 65536 IDs in a row are left of 1000:9000" in told
