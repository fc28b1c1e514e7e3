"""The read-write layers of a store: create, hold, mount, change, release."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from layerstore import (
    CallerError,
    Change,
    ChangeKind,
    DriverError,
    InternalError,
    InvalidName,
    LayerDoesNotExist,
    LayerNotRetained,
    LayerStore,
    LayerStoreError,
    MountDoesNotExist,
    MountNameConflict,
    NotMounted,
    RWLayer,
)
from layerstore.drivers.model.ids import chain_id
from layerstore.drivers.system import syscalls
from tests.conftest import OpenStore
from tests.support.tars import layer_tar
from tests.support.ways.marks import CALLS_BACK
from tests.support.ways.opening import Opening

BASE = {"etc": None, "etc/hosts": b"localhost", "etc/motd": b"hello", "bin": None}


@pytest.fixture
def base(store: LayerStore) -> str:
    return store.register(layer_tar(BASE)).chain_id


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def test_a_mount_shows_the_parent_and_takes_changes(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    with rw.mounted() as path:
        assert read(f"{path}/etc/hosts") == b"localhost"
        write(f"{path}/etc/hosts", b"changed")
        write(f"{path}/new", b"new")
        os.unlink(f"{path}/etc/motd")
    assert [str(change) for change in rw.changes()] == [
        "C /etc",
        "C /etc/hosts",
        "D /etc/motd",
        "A /new",
    ]
    with rw.mounted() as path:
        assert read(f"{path}/etc/hosts") == b"changed"
        assert not os.path.exists(f"{path}/etc/motd")
    other = store.create_rw_layer("other", base)
    with other.mounted() as path:
        assert read(f"{path}/etc/hosts") == b"localhost"


def test_a_layer_without_a_parent_is_empty(store: LayerStore) -> None:
    rw = store.create_rw_layer("empty")
    assert rw.parent is None
    with rw.mounted() as path:
        assert os.listdir(path) == []
        write(f"{path}/file", b"1")
    assert rw.changes() == [Change("/file", ChangeKind.ADD)]


def test_the_changes_of_one_layer_registered_are_the_same_files(
    store: LayerStore, base: str
) -> None:
    rw = store.create_rw_layer("web", base)
    with rw.mounted() as path:
        os.mkdir(f"{path}/var")
        write(f"{path}/var/log", b"line")
        os.chmod(f"{path}/var/log", 0o4711)
        os.unlink(f"{path}/etc/motd")
        os.link(f"{path}/var/log", f"{path}/var/log2")
    with rw.tar_stream() as stream:
        committed = store.register(stream, base)
    again = store.create_rw_layer("again", committed.chain_id)
    with again.mounted() as path:
        assert sorted(os.listdir(f"{path}/etc")) == ["hosts"]
        assert read(f"{path}/var/log") == b"line"
        status = os.lstat(f"{path}/var/log")
        assert stat.S_IMODE(status.st_mode) == 0o4711
        assert status.st_nlink == 2
    assert again.changes() == []


def test_a_diff_can_be_applied_over_a_layer(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    rw.apply_diff(layer_tar({"etc/.wh.motd": b"", "etc/hosts": b"applied"}))
    with rw.mounted() as path:
        assert os.listdir(f"{path}/etc") == ["hosts"]
        assert read(f"{path}/etc/hosts") == b"applied"


def test_size_counts_what_the_layer_adds(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    assert rw.size() == 0
    with rw.mounted() as path:
        write(f"{path}/file", b"x" * 1000)
    assert rw.size() == 1000


@CALLS_BACK
def test_a_name_is_taken_from_the_first_message(store: LayerStore, base: str) -> None:
    seen: list[type[LayerStoreError]] = []
    inside, go_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        inside.set()
        assert go_on.wait(60)

    creating = threading.Thread(target=lambda: store.create_rw_layer("web", base, init=init))
    creating.start()
    assert inside.wait(60)
    for attempt in (store.create_rw_layer, store.get_rw_layer, store.get_mount_id):
        try:
            attempt("web")
        except LayerStoreError as error:
            seen.append(type(error))
    go_on.set()
    creating.join()
    assert seen == [MountNameConflict, MountDoesNotExist, MountDoesNotExist]
    assert store.get_rw_layer("web").name == "web"


@CALLS_BACK
def test_what_init_makes_is_seen_but_is_no_change(store: LayerStore, base: str) -> None:
    def init(path: str) -> None:
        write(f"{path}/etc/hosts", b"from init")
        write(f"{path}/.dockerenv", b"")

    rw = store.create_rw_layer("web", base, init=init)
    assert rw.changes() == []
    with rw.mounted() as path:
        assert read(f"{path}/etc/hosts") == b"from init"
        write(f"{path}/mine", b"1")
    assert [str(change) for change in rw.changes()] == ["A /mine"]
    assert store.mounts()[0].init_id == f"{rw.mount_id}-init"


@CALLS_BACK
def test_a_failing_init_frees_the_name_and_leaves_nothing(store: LayerStore, base: str) -> None:
    def init(_path: str) -> None:
        raise SystemExit("no")

    references = store.map()[chain_id(base)].references
    with pytest.raises(CallerError, match="SystemExit: no"):
        store.create_rw_layer("web", base, init=init)
    assert store.mounts() == []
    assert store.map()[chain_id(base)].references == references
    assert store.create_rw_layer("web", base).name == "web"


@CALLS_BACK
def test_an_init_that_calls_the_store_is_told_so(store: LayerStore, base: str) -> None:
    def init(_path: str) -> None:
        store.mounts()

    with pytest.raises(InternalError, match="init function"):
        store.create_rw_layer("web", base, init=init)


def test_an_unknown_parent_frees_the_name(store: LayerStore) -> None:
    with pytest.raises(LayerDoesNotExist):
        store.create_rw_layer("web", "sha256:" + "0" * 64)
    assert store.create_rw_layer("web").name == "web"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "-a", "a b", "a\n", "a:b", "a" * 256, "a\0b"]
)
def test_a_name_that_is_no_container_name_is_refused(name: str, store: LayerStore) -> None:
    with pytest.raises(InvalidName):
        store.create_rw_layer(name)
    assert store.mounts() == []


def test_mounts_are_counted(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    path = rw.mount()
    assert rw.mount() == path
    rw.unmount()
    assert read(f"{path}/etc/hosts") == b"localhost"
    assert store.mounts()[0].mount_count == 1
    rw.unmount()
    with pytest.raises(NotMounted):
        rw.unmount()


def test_mounting_from_many_threads_mounts_once(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    paths: list[str] = []
    threads = [threading.Thread(target=lambda: paths.append(rw.mount())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert store.mounts()[0].mount_count == 10
    for _ in range(10):
        rw.unmount()


def test_only_the_last_reference_removes_the_layer(store: LayerStore, base: str) -> None:
    first = store.create_rw_layer("web", base)
    second = store.get_rw_layer("web")
    assert store.release_rw_layer(first) == []
    with pytest.raises(LayerNotRetained):
        store.release_rw_layer(first)
    with pytest.raises(LayerNotRetained):
        first.mount()
    assert [mount.name for mount in store.mounts()] == ["web"]
    store.release_rw_layer(second)
    assert store.mounts() == []
    assert store.release_rw_layer(second) == []
    with pytest.raises(MountDoesNotExist):
        second.mount()


def test_a_failed_removal_restores_the_reference(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    trash = Path(store.root, "layerstore/trash")
    store.drain()
    trash.rmdir()
    trash.write_bytes(b"no directory")
    with pytest.raises(DriverError) as caught:
        rw.release()
    assert caught.value.operation == "rename"
    trash.unlink()
    trash.mkdir()
    (mount,) = store.mounts()
    assert (mount.state, mount.references) == ("ready", 1)
    with rw.mounted() as path:
        assert os.listdir(path)
    assert rw.release() == []
    assert store.mounts() == []


def test_a_mounted_layer_is_unmounted_when_it_is_removed(store: LayerStore, base: str) -> None:
    rw = store.create_rw_layer("web", base)
    path = rw.mount()
    rw.mount()
    rw.release()
    assert not os.path.exists(f"{path}/etc/hosts")


def test_removing_the_last_user_of_a_layer_removes_the_layer(store: LayerStore) -> None:
    layer = store.register(layer_tar(BASE))
    rw = store.create_rw_layer("web", layer.chain_id)
    assert store.release(layer) == []
    removed = store.release_rw_layer(rw)
    assert [found.chain_id for found in removed] == [layer.chain_id]
    assert store.map() == {}


def test_layers_and_their_changes_survive_reopening(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar(BASE))
    rw = store.create_rw_layer("web", base.chain_id)
    with rw.mounted() as path:
        write(f"{path}/file", b"kept")
    mount_id = store.get_mount_id("web")
    store.close()
    store = open_store()
    assert store.map()[base.chain_id].references == 1
    rw = store.get_rw_layer("web")
    assert store.get_mount_id("web") == mount_id
    with rw.mounted() as path:
        assert read(f"{path}/file") == b"kept"
    assert [found.chain_id for found in rw.release()] == [base.chain_id]


def test_closing_unmounts_what_was_mounted(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar(BASE)).chain_id
    path = store.create_rw_layer("web", base).mount()
    store.close()
    if store.driver_name == "overlay2":
        assert not os.path.exists(path)


@pytest.mark.root
def test_mounts_can_be_kept_for_the_next_opening(opening: Opening) -> None:
    store = opening.store(driver="overlay2")
    base = store.register(layer_tar(BASE)).chain_id
    path = store.create_rw_layer("web", base).mount()
    store.close(keep_mounts=True)
    assert read(f"{path}/etc/hosts") == b"localhost"
    with opening.store(driver=None) as again:
        assert again.mounts()[0].mount_count == 1
        rw = again.get_rw_layer("web")
        rw.unmount()
        assert not os.path.exists(path)


def test_a_with_block_removes_the_layer_at_its_end(store: LayerStore, base: str) -> None:
    with store.create_rw_layer("web", base) as rw, rw.mounted() as path:
        write(f"{path}/file", b"1")
    assert store.mounts() == []


def test_two_creations_of_one_name_make_one(store: LayerStore, base: str) -> None:
    made: list[RWLayer] = []
    refused: list[MountNameConflict] = []

    def create() -> None:
        try:
            made.append(store.create_rw_layer("web", base))
        except MountNameConflict as error:
            refused.append(error)

    threads = [threading.Thread(target=create) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 9)


@pytest.mark.root
def test_what_is_mounted_in_a_removed_layer_is_not_deleted(
    store: LayerStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("kept")
    base = store.register(layer_tar({"inside": None}))
    rw = store.create_rw_layer("web", base.chain_id)
    syscalls.mount(str(tmp_path), f"{rw.mount()}/inside", "", syscalls.MS_BIND, "")
    rw.release()
    store.drain()
    assert (tmp_path / "file").read_text() == "kept"
    assert os.listdir(f"{store.root}/layerstore/trash") == []
