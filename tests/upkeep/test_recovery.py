"""What a crash, or another engine, left in a root when it is opened."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    FaultKind,
    InvalidMetadata,
    LayerDoesNotExist,
    LayerStore,
    MountDoesNotExist,
)
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.syscalls import mount, umount
from tests.conftest import OpenStore
from tests.support.homes import home_of
from tests.support.tars import layer_tar
from tests.support.ways.opening import Opening


def driver_home(store: LayerStore) -> Path:
    return home_of(store.root, store.driver_name)


def layerdb(store: LayerStore) -> Path:
    return Path(store.root, "image", store.driver_name, "layerdb")


def test_orphans_of_every_kind_are_reaped(open_store: OpenStore) -> None:
    store = open_store()
    kept = store.register(layer_tar({"a": b"1"}))
    half_removed = store.register(layer_tar({"b": b"1"}))
    cache_id = store.map()[half_removed.chain_id].cache_id
    store.close()
    home, metadata = driver_home(store), layerdb(store)
    (home / secrets.token_hex(32)).mkdir()
    (home / f"{secrets.token_hex(32)}-init").mkdir()
    (metadata / "tmp/write-set-0123456789abcdef").mkdir()
    (metadata / "tmp/write-set-0123456789abcdef/diff").write_text("sha256:")
    name = half_removed.chain_id.removeprefix("sha256:")
    (metadata / "sha256" / name).rename(
        metadata / "sha256" / f"{name}-{secrets.token_hex(32)}-removing"
    )
    Path(store.root, "layerstore/trash/left").mkdir()
    store = open_store()
    store.drain()
    assert list(store.map()) == [kept.chain_id]
    assert not (home / cache_id).exists()
    assert len([path for path in home.iterdir() if path.name != "l"]) == 1
    assert os.listdir(metadata / "tmp") == []
    assert len(os.listdir(metadata / "sha256")) == 1
    assert os.listdir(f"{store.root}/layerstore/trash") == []


def test_directories_that_are_not_a_layer_stores_are_left_alone(open_store: OpenStore) -> None:
    store = open_store()
    store.close()
    others = [driver_home(store) / name for name in ("x2k3j4h5g6f7d8s9a0q1w2e3r", "notes", "l2")]
    for other in others:
        other.mkdir()
    open_store().drain()
    assert all(other.is_dir() for other in others)


def test_unreadable_metadata_is_told_and_destroys_nothing(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"}))
    child = store.register(layer_tar({"b": b"1"}), base.chain_id)
    store.create_rw_layer("web", child.chain_id)
    ids = sorted(path.name for path in driver_home(store).iterdir())
    store.close()
    damaged = layerdb(store) / "sha256" / base.chain_id.removeprefix("sha256:") / "cache-id"
    good = damaged.read_bytes()
    damaged.write_bytes(b"../../../etc")
    store = open_store()
    assert len(store.faults) == 3
    assert any(str(damaged.parent) in str(fault) for fault in store.faults)
    with pytest.raises(LayerDoesNotExist):
        store.get(child.chain_id)
    with pytest.raises(MountDoesNotExist):
        store.get_rw_layer("web")
    store.drain()
    store.close()
    assert sorted(path.name for path in driver_home(store).iterdir()) == ids
    damaged.write_bytes(good)
    store = open_store()
    assert store.faults == []
    assert store.get_rw_layer("web").parent == child.chain_id


@pytest.mark.parametrize("name", ["diff", "size", "cache-id", "parent"])
@pytest.mark.parametrize(
    "content", [b"", b"sha256:", b"-1", b"\xff\xfe", b"x" * 100_000, b"sha256:" + b"A" * 64]
)
def test_a_metadata_file_with_anything_in_it_is_told(
    name: str, content: bytes, open_store: OpenStore
) -> None:
    store = open_store(trace_size=0, prespawn=False)
    base = store.register(layer_tar({"a": b"1"}))
    child = store.register(layer_tar({"b": b"1"}), base.chain_id)
    store.close()
    place = layerdb(store) / "sha256" / child.chain_id.removeprefix("sha256:")
    (place / name).write_bytes(content)
    store = open_store(prespawn=False)
    assert len(store.faults) == 1
    assert list(store.map()) == [base.chain_id]


def test_a_metadata_file_that_is_a_link_is_not_followed(open_store: OpenStore) -> None:
    store = open_store()
    layer = store.register(layer_tar({"a": b"1"}))
    store.close()
    size = layerdb(store) / "sha256" / layer.chain_id.removeprefix("sha256:") / "size"
    (size.parent / "elsewhere").write_bytes(b"1")
    size.unlink()
    size.symlink_to("elsewhere")
    store = open_store()
    assert [fault.reason for fault in store.faults] != []
    assert store.map() == {}


@pytest.mark.parametrize("damaged", ["size", "repositories.json"])
def test_a_directory_in_the_place_of_a_metadata_file_is_told(
    damaged: str, open_store: OpenStore
) -> None:
    store = open_store()
    layer = store.register(layer_tar({"a": b"1"}))
    store.close()
    place = layerdb(store).parent
    if damaged == "size":
        place = layerdb(store) / "sha256" / layer.chain_id.removeprefix("sha256:")
        (place / damaged).unlink()
    (place / damaged).mkdir()
    store = open_store()
    (fault,) = store.faults
    assert str(place) in fault.path


@pytest.mark.root
def test_a_mount_that_outlived_its_process_is_found(root_dir: Path) -> None:
    pid = os.fork()
    if pid == 0:
        store = LayerStore(root_dir, driver="overlay2")
        base = store.register(layer_tar({"a": b"1"}))
        store.create_rw_layer("web", base.chain_id).mount()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    with LayerStore(root_dir) as store:
        (mount,) = store.mounts()
        assert mount.mount_count == 1
        assert mount.path is not None
        assert os.listdir(mount.path) == ["a"]
        store.get_rw_layer("web").release()
        assert not [point for point in mount_points() if str(root_dir) in point.path]


@pytest.mark.root
def test_a_layer_whose_removal_failed_can_be_mounted_on(root_dir: Path, opening: Opening) -> None:
    with opening.store(driver="overlay2") as store:
        base = store.register(layer_tar({"a": b"1"}))
        trash = f"{root_dir}/layerstore/trash"
        mount("tmpfs", trash, "tmpfs", 0, "")  # another file system takes no renames
        try:
            with pytest.raises(DriverError):
                base.release()
        finally:
            store.drain()  # whoever sweeps has the trash open
            umount(trash)
        with store.create_rw_layer("web", base.chain_id) as rw, rw.mounted() as path:
            assert os.listdir(path) == ["a"]


@pytest.mark.root
def test_short_links_that_lead_nowhere_are_removed(root_dir: Path, opening: Opening) -> None:
    with opening.store(driver="overlay2") as store:
        store.register(layer_tar({"a": b"1"}))
        links = root_dir / "overlay2/l"
        (kept,) = os.listdir(links)
    (links / ("A" * 26)).symlink_to(f"../{secrets.token_hex(32)}/diff")
    (links / ("B" * 26)).symlink_to("../x2k3j4h5g6f7d8s9a0q1w2e3r/diff")
    with opening.store(driver=None):
        assert sorted(os.listdir(links)) == sorted([kept, "B" * 26])


def test_layers_that_a_build_cache_mentions_stay_when_nothing_else_keeps_them(
    open_store: OpenStore,
) -> None:
    with open_store() as store:
        cached = store.register(layer_tar({"cached": b"x"}))
        store.register(layer_tar({"other": b"x"}), cached.chain_id)
        top = store.register(layer_tar({"top": b"x"}))
        database = Path(store.root, "buildkit/snapshots.db")
        database.parent.mkdir()
        cache_id = store.map()[top.chain_id].cache_id
        database.write_bytes(b"\0chainid" + cached.chain_id.encode() + b"\xff" + cache_id.encode())
    with open_store() as store:
        assert {layer.references for layer in store.map().values()} == {0, 1, 2}
        for chain in list(store.map()):
            store.get(chain).release()
        assert store.map().keys() == {cached.chain_id, top.chain_id}


@pytest.mark.root
def test_a_layer_whose_options_are_lost_is_removed_and_keeps_nothing_else(
    opening: Opening,
) -> None:
    # As a power loss leaves a scratch layer, of which nothing but its name is synced.
    store = opening.store(driver="overlay2")
    job = store.create_rw_layer("job", storage_opt={"scratch": "disk"})
    store.create_rw_layer("other")
    home = driver_home(store)
    opening.close()
    (home / job.mount_id / "layerstore-options.json").write_bytes(b"")
    (home / secrets.token_hex(32)).mkdir()
    store = opening.store(driver="overlay2")
    assert [found.kind for found in store.check()] == [FaultKind.MOUNT_OPTIONS]
    job = store.get_rw_layer("job")
    with pytest.raises(InvalidMetadata, match="layerstore-options"):
        job.mount()
    job.release()
    assert store.check() == []
    assert [mount.name for mount in store.mounts()] == ["other"]
    assert [path.name for path in home.iterdir() if path.name != "l"] == [
        store.get_rw_layer("other").mount_id
    ]


@pytest.mark.root
def test_what_is_mounted_for_a_trial_that_was_cut_off_goes_with_it(open_store: OpenStore) -> None:
    store = open_store()
    store.close()
    trial = Path(store.root, "layerstore/overlay-0123456789abcdef")
    for name in ("merged", "views/0123456789abcdef"):
        (trial / name).mkdir(parents=True)
        mount("tmpfs", str(trial / name), "tmpfs", 0, "")
    open_store()
    assert not trial.exists()
    assert not [point.path for point in mount_points() if point.path.startswith(str(trial))]
