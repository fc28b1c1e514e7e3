"""A whole store on btrfs: bounds by `storage_opt`, and what each layer takes without a walk."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import InvalidArgument, LayerStore
from layerstore.command import main
from tests.graph.btrfs import layers
from tests.graph.btrfs.layers import MIB
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def quotas() -> str:
    return "full"


@pytest.fixture
def root(place: Path) -> str:
    return tempfile.mkdtemp(dir=place)


@pytest.fixture
def store(root: str) -> Iterator[LayerStore]:
    with LayerStore(root, driver="btrfs", durability="relaxed", prespawn=False) as opened:
        yield opened
    assert os.listdir(f"{root}/btrfs/subvolumes") == []


def test_what_each_layer_has_for_itself_is_told_without_a_walk(
    store: LayerStore, capsys: pytest.CaptureFixture[str]
) -> None:
    base = store.register(layer_tar({"image": os.urandom(4 * MIB)}))
    small, large = (store.create_rw_layer(name, base.chain_id) for name in ("small", "large"))
    path = large.mount()
    Path(path, "own").write_bytes(os.urandom(2 * MIB))
    layers.commit(path)
    found = store.usage()
    assert list(found) == ["large", "small"]
    large_bytes, small_bytes = found["large"], found["small"]
    assert large_bytes is not None
    assert small_bytes is not None
    assert small_bytes < MIB < 2 * MIB < large_bytes < 3 * MIB
    for layer in (small, large):
        layer.release()
    base.release()
    assert store.usage() == {}


def test_a_bounded_layer_is_full_alone_and_the_store_goes_on(store: LayerStore) -> None:
    base = store.register(layer_tar({"image": b"1"}))
    bounded = store.create_rw_layer("bounded", base.chain_id, storage_opt={"size": "8m"})
    path = bounded.mount()
    written, error = layers.write_until_refused(f"{path}/big", 20 * MIB)
    assert written < 8 * MIB
    assert error == errno.EDQUOT
    other = store.create_rw_layer("other", base.chain_id)
    assert layers.write_until_refused(f"{other.mount()}/big", 16 * MIB) == (16 * MIB, None)
    assert [str(change) for change in bounded.changes()] == ["A /big"]
    with bounded.tar_stream() as stream:
        again = store.register(stream, base.chain_id)
    assert again.diff_size == written
    bounded.unmount()
    assert layers.write_until_refused(f"{bounded.mount()}/more", MIB)[1] == errno.EDQUOT
    for layer in (bounded, other):
        layer.release()
    again.release()
    base.release()
    store.drain()
    assert store.mounts() == []


def test_a_size_that_is_refused_leaves_no_layer(store: LayerStore) -> None:
    for options in ({"size": "0"}, {"scratch": "memory"}, {"colour": "red"}):
        with pytest.raises(InvalidArgument):
            store.create_rw_layer("refused", storage_opt=options)
    assert store.mounts() == []


def test_du_counts_what_quotas_count(
    root: str, store: LayerStore, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = store.create_rw_layer("web")
    path = layer.mount()
    Path(path, "own").write_bytes(os.urandom(2 * MIB))
    layers.commit(path)
    counted = store.usage()["web"]
    assert main(["--root", root, "du", "-v", "--json"]) == 0
    assert f'"size": {counted}' in capsys.readouterr().out
    layer.release()
