"""Scratch layers by every face: committed, changed, measured and removed as any other."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from layerstore import LayerStore, Limits, MaxDepthExceeded
from layerstore.drivers.graph.overlay2.mount import unmount
from layerstore.drivers.system.mountinfo import mount_paths
from tests.support.tars import layer_tar
from tests.support.ways.opening import Opening

pytestmark = pytest.mark.root


def in_memory(store: LayerStore) -> list[str]:
    return [path for path in mount_paths() if path.startswith(f"{store.root}/")]


@pytest.mark.parametrize("scratch", ["disk", "memory"])
def test_a_scratch_layer_is_worked_with_as_any_other(scratch: str, opening: Opening) -> None:
    store = opening.store(driver="overlay2")
    layer = store.register(io.BytesIO(layer_tar({"a": b"1", "dir": None})))
    rw = store.create_rw_layer("job", layer.chain_id, storage_opt={"scratch": scratch})
    with rw.mounted() as path:
        Path(path, "dir", "new").write_bytes(b"1234")
        Path(path, "a").unlink()
    assert [str(change) for change in rw.changes()] == ["D /a", "C /dir", "A /dir/new"]
    assert rw.size() == 4
    rw.apply_diff(io.BytesIO(layer_tar({"more": b"12"})))
    assert rw.size() == 6
    with rw.tar_stream() as stream:
        above = store.register(stream, parent=layer.chain_id)
    with store.create_rw_layer("shown", above.chain_id) as shown, shown.mounted() as path:
        assert sorted(p.name for p in Path(path).iterdir()) == ["dir", "more"]
    with rw.mounted() as path:
        assert Path(path, "more").read_bytes() == b"12"
    assert bool(in_memory(store)) == (scratch == "memory")
    rw.release()
    assert in_memory(store) == []


def test_what_layers_in_memory_take_is_told_without_a_look_at_them(opening: Opening) -> None:
    store = opening.store(driver="overlay2")
    asked = {"scratch": "memory", "size": "4m"}
    bounded = store.create_rw_layer("bounded", storage_opt=asked)
    lost = store.create_rw_layer("lost", storage_opt=asked)
    Path(bounded.mount(), "file").write_bytes(bytes(1 << 20))
    unmount(f"{store.root}/overlay2/{lost.mount_id}/memory")
    store.create_rw_layer("ordinary")
    usage = store.usage()
    assert (1 << 20) <= (usage.pop("bounded") or 0) < (1 << 21)
    assert usage == {"lost": None, "ordinary": None}
    bounded.unmount()
    for rw in (bounded, lost):
        rw.release()
    assert in_memory(store) == []


def test_the_depth_of_chains_is_a_limit_like_any_other(opening: Opening) -> None:
    store = opening.store(driver="overlay2", limits=Limits(max_layers=1))
    layer = store.register(layer_tar({"f": b"0"}))
    with pytest.raises(MaxDepthExceeded, match=r"depth limit of 1 .*max_layers=N"):
        store.register(layer_tar({"more": b""}), layer.chain_id)
