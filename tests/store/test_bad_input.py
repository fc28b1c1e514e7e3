"""Roots that can't be used: each with an error of its own, and nothing left behind."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    DriverNotSupported,
    InvalidArgument,
    InvalidName,
    InvalidTar,
    LayerStore,
    ReadOnlyStorage,
    StorageFull,
    StoreLocked,
)
from tests.support.tars import layer_tar, many_files
from tests.support.ways.opening import Opening

MakeFileSystem = Callable[[str, int], Path]


def used(path: Path) -> int:
    status = os.statvfs(path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.mark.root
@pytest.mark.parametrize("fstype", ["tmpfs", "ext4"])
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_a_full_disk_is_told_and_nothing_is_left(
    fstype: str, driver: str, make_file_system: MakeFileSystem, opening: Opening
) -> None:
    place = make_file_system(fstype, 24)
    with opening.store(place / "root", driver=driver) as store:
        small = store.register(layer_tar({"small": b"1"}))
        store.drain()
        before = used(place)
        with pytest.raises(StorageFull) as caught:
            store.register(many_files(60, size=1_000_000), small.chain_id)
        assert str(place) in str(caught.value)
        store.drain()
        assert list(store.map()) == [small.chain_id]
        assert used(place) - before < 1 << 20
        assert store.register(many_files(10), small.chain_id).parent == small.chain_id


@pytest.mark.root
def test_what_lies_in_the_trash_makes_room_before_a_disk_is_called_full(
    make_file_system: MakeFileSystem, opening: Opening
) -> None:
    place = make_file_system("tmpfs", 40)
    with opening.store(place / "root", driver="overlay2") as store:
        for number in range(6):
            tar = layer_tar({"large": bytes([number]) * (24 << 20)})
            store.register(tar).release()
        assert store.map() == {}


@pytest.mark.root
def test_a_read_only_file_system_is_told(make_file_system: MakeFileSystem) -> None:
    place = make_file_system("tmpfs", 8)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    with pytest.raises(ReadOnlyStorage) as caught:
        LayerStore(place / "root")
    assert caught.value.path.startswith(str(place))


@pytest.mark.root
def test_a_root_that_became_read_only_is_told(make_file_system: MakeFileSystem) -> None:
    place = make_file_system("tmpfs", 8)
    with LayerStore(place / "root"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    with pytest.raises(ReadOnlyStorage):
        LayerStore(place / "root")


_OPEN = """
import sys
from layerstore import LayerStore, LayerStoreError
try:
    with LayerStore(sys.argv[1], driver=sys.argv[2] or None) as store:
        print(store.driver_name, store.driver_reason)
except LayerStoreError as error:
    print(type(error).__name__, error)
"""


def open_without_mounts(root: Path, driver: str) -> str:
    """Open a store in a process that may do everything but mount."""
    command = [sys.executable, "-c", _OPEN, str(root), driver]
    without = ["capsh", "--drop=cap_sys_admin", "--shell=/usr/bin/env", "--"]
    done = subprocess.run(
        [*without, *command], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    return done.stdout


@pytest.mark.root
def test_without_the_privilege_to_mount_the_error_says_so(root_dir: Path) -> None:
    answer = open_without_mounts(root_dir, "overlay2")
    assert answer.startswith("NotPermitted mount overlay on ")
    assert "Operation not permitted" in answer
    assert os.listdir(root_dir / "layerstore") == ["lock"]
    answer = open_without_mounts(root_dir, "")
    assert "it needs CAP_SYS_ADMIN" in answer
    assert "the driver vfs mounts nothing" in answer


def test_a_second_process_is_told_who_has_the_root(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="vfs"):
        done = subprocess.run(
            [sys.executable, "-c", _OPEN, str(root_dir), "vfs"],
            capture_output=True,
            text=True,
            check=True,
        )
        told = f"StoreLocked store {root_dir} is in use by process {os.getpid()}; "
        assert done.stdout.startswith(told)
        with pytest.raises(StoreLocked) as caught:
            LayerStore(root_dir, driver="vfs")
        assert caught.value.pid == os.getpid()
    with LayerStore(root_dir, driver="vfs") as store:
        assert store.driver_name == "vfs"


def test_an_unknown_driver_is_refused(root_dir: Path) -> None:
    with pytest.raises(DriverNotSupported, match="aufs"):
        LayerStore(root_dir, driver="aufs")


def test_an_unknown_storage_option_is_refused(opening: Opening) -> None:
    with (
        opening.store(driver="vfs") as store,
        pytest.raises(InvalidName, match="sise"),
    ):
        store.create_rw_layer("web", storage_opt={"sise": "1G"})


def test_a_root_that_is_a_file_is_refused(root_dir: Path) -> None:
    (root_dir / "file").write_bytes(b"")
    with pytest.raises(DriverError, match=str(root_dir / "file")):
        LayerStore(root_dir / "file")


@pytest.mark.root
def test_a_mount_label_cannot_smuggle_options(opening: Opening) -> None:
    with opening.store(driver="overlay2") as store:
        base = store.register(layer_tar({"a": b"1"})).chain_id
        with pytest.raises(InvalidName):
            store.create_rw_layer("web", base, mount_label='x",upperdir=/etc')
        rw = store.create_rw_layer("web", base)
        with pytest.raises(InvalidName):
            rw.mount('x",upperdir=/etc')


@pytest.mark.root
@pytest.mark.parametrize("name", ["with,comma", "with:colon", "with\\backslash", "with space"])
def test_a_root_may_have_any_name(name: str, root_dir: Path, opening: Opening) -> None:
    with opening.store(root_dir / name, driver="overlay2") as store:
        base = store.register(layer_tar({"a": b"1"}))
        with store.create_rw_layer("web", base.chain_id) as rw:
            path = rw.mount()
            assert os.listdir(path) == ["a"]
        assert not os.path.exists(path)


@pytest.mark.parametrize("place", [20, 15_000, -30])
def test_a_compressed_tar_that_is_damaged_anywhere_is_told(place: int, store: LayerStore) -> None:
    damaged = bytearray(gzip.compress(layer_tar({"a": os.urandom(30_000)})))
    damaged[place : place + 20] = b"\xff" * 20
    with pytest.raises(InvalidTar):
        store.register(bytes(damaged), compression="auto")
    assert store.map() == {}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("durability", "relxed"), ("durability", ""), ("durability", None), ("confine", "yes"),
        ("workers", -1), ("workers", 1.5), ("max_streams", 0), ("max_queued", "many"),
        ("trace_size", -1), ("stall_after", -1), ("stall_after", float("nan")),
        ("stall_after", None), ("limits", 5),
    ],
)  # fmt: skip
def test_an_option_that_is_none_is_told_by_name(root_dir: Path, option: str, value: object) -> None:
    with pytest.raises(InvalidArgument, match=option):
        LayerStore(root_dir / "store", **{option: value})  # type: ignore[arg-type]
    assert not (root_dir / "store").exists()


def test_a_root_without_a_name_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for root in ("", "a\0b"):
        with pytest.raises(InvalidArgument, match="a root is"):
            LayerStore(root)
    assert os.listdir(tmp_path) == []


def test_a_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(DriverError, match="file: Not a directory"):
        LayerStore(tmp_path / "file")


def test_a_directory_is_no_tar(root_dir: Path, opening: Opening) -> None:
    with opening.store(driver="vfs") as store:
        with pytest.raises(DriverError, match=r"open /etc: Is a directory"):
            store.register("/etc")
        with pytest.raises(DriverError, match=r"/etc: Is a directory"):
            store.images.import_tar("/etc", "app:1")
        with pytest.raises(InvalidArgument, match="at least one image"):
            store.images.save([], root_dir / "out.tar")
    assert not (root_dir / "out.tar").exists()


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), 1e300])
def test_a_timeout_that_is_none_is_told(opening: Opening, timeout: float) -> None:
    with opening.store(driver="vfs") as store:
        with pytest.raises(InvalidArgument, match="a timeout is"):
            store.create_rw_layer("web", timeout=timeout)
        with pytest.raises(InvalidArgument, match="a timeout is"):
            store.register(layer_tar({"a": b"1"}), timeout=timeout)
        assert (store.mounts(), store.map()) == ([], {})

    async def steps() -> None:
        async with opening.asynchronous(driver="vfs") as store:
            with pytest.raises(InvalidArgument, match="a timeout is"):
                await store.create_rw_layer("web", timeout=timeout)
            while await store.mounts():
                pass

    asyncio.run(steps())
