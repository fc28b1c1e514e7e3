"""Resets of read-write layers: back to the parent, alone, whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    LayerNotRetained,
    LayerStore,
    MountDoesNotExist,
    RWLayer,
    StillMounted,
)
from layerstore.actors.books.mount_entry import MountEntry, MountState
from tests.conftest import OpenStore
from tests.support.homes import directories_of, home_of
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread
from tests.support.ways.marks import CALLS_BACK, OWNERS

pytestmark = pytest.mark.root


@pytest.fixture
def changed(store: LayerStore) -> RWLayer:
    base = store.register(layer_tar({"dir": None, "dir/a": b"1", "b": b"2"})).chain_id
    rw = store.create_rw_layer("web", base)
    change(rw)
    return rw


def change(rw: RWLayer) -> None:
    with rw.mounted() as path:
        Path(path, "dir/a").unlink()
        Path(path, "b").write_bytes(b"changed")
        Path(path, "new").write_bytes(b"new")


def names(rw: RWLayer) -> list[str]:
    with rw.mounted() as path:
        return sorted(os.listdir(path))


def test_a_reset_layer_shows_its_parent(store: LayerStore, changed: RWLayer) -> None:
    mount_id = changed.mount_id
    for _ in range(2):
        changed.reset()
        assert changed.changes() == []
        assert changed.size() == 0
        with changed.mounted() as path:
            assert Path(path, "b").read_bytes() == b"2"
            assert os.listdir(f"{path}/dir") == ["a"]
        change(changed)
        assert names(changed) == ["b", "dir", "new"]
    assert store.get_mount_id("web") == mount_id
    store.drain()
    assert store.check() == []


def test_it_stays_reset_when_the_store_is_opened_again(
    open_store: OpenStore, store: LayerStore, changed: RWLayer
) -> None:
    changed.reset()
    root = store.root
    store.close()
    again = open_store(root=root)
    assert again.check() == []
    assert names(again.get_rw_layer("web")) == ["b", "dir"]
    again.drain()
    assert len(directories_of(again)) == 2


@CALLS_BACK
def test_what_init_made_stays(store: LayerStore) -> None:
    def init(path: str) -> None:
        Path(path, "from-init").touch()

    rw = store.create_rw_layer("web", init=init)
    with rw.mounted() as path:
        Path(path, "from-init").unlink()
        Path(path, "new").touch()
    rw.reset()
    assert names(rw) == ["from-init"]


def test_what_is_mounted_is_left_as_it_is(store: LayerStore, changed: RWLayer) -> None:
    other = store.get_rw_layer("web")
    with other.mounted() as path:
        with pytest.raises(StillMounted, match="mount web is still mounted"):
            changed.reset()
        assert sorted(os.listdir(path)) == ["b", "dir", "new"]
    changed.reset()
    other.release()
    with pytest.raises(LayerNotRetained):
        other.reset()
    changed.release()
    with pytest.raises(MountDoesNotExist):
        changed.reset()


def test_forks_keep_what_a_reset_takes_from_their_source(changed: RWLayer) -> None:
    one = changed.fork("one")
    changed.reset()
    assert names(one) == ["b", "dir", "new"]
    assert names(changed.fork("two")) == ["b", "dir"]


def test_resets_and_readers_come_one_after_the_other(changed: RWLayer) -> None:
    outcomes: list[object] = []
    acts = (changed.reset, changed.changes, changed.size, lambda: changed.fork("one").name)
    threads = [in_thread(act, outcomes) for act in acts * 3]
    for thread in threads:
        thread.join()
    changed.reset()
    assert changed.changes() == []
    assert outcomes.count("one") == 1
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 2  # its name is taken


@OWNERS
def test_a_reset_that_fails_leaves_the_layer(store: LayerStore, changed: RWLayer) -> None:
    own = home_of(store.root, store.driver_name) / changed.mount_id
    os.rename(own, f"{own}.away")
    with pytest.raises(DriverError):
        changed.reset()
    os.rename(f"{own}.away", own)
    assert names(changed) == ["b", "dir", "new"]
    store.drain()
    assert len(directories_of(store)) == 2


def test_in_the_books_nobody_reads_beside_a_reset() -> None:
    entry = MountEntry(
        name="web",
        mount_id="1",
        init_id=None,
        parent=None,
        parent_cache_id=None,
        state=MountState.READY,
    )
    steps: list[str] = []
    entry.read(lambda: steps.append("read"))
    entry.when_quiet(lambda: steps.append("reset"))
    entry.read(lambda: steps.append("read later"))
    entry.when_quiet(lambda: steps.append("reset again"))
    entry.when_unused(lambda: steps.append("removed"))
    assert steps == ["read"]
    entry.was_read()
    assert steps == ["read", "reset"]
    entry.when_free(lambda: steps.append("mounted"))
    entry.was_reset()
    assert steps == ["read", "reset", "mounted", "reset again"]
    entry.was_reset()
    assert steps[4:] == ["read later"]
    entry.was_read()
    assert steps[5:] == ["removed"]
