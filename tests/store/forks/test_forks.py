"""Forks of read-write layers: the same content, a life of their own; in vain, nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import (
    AsyncLayerStore,
    CallTimeout,
    InvalidName,
    JobCancelled,
    LayerNotRetained,
    LayerStore,
    LayerStoreError,
    MountDoesNotExist,
    MountNameConflict,
    RWLayer,
    WorkerDied,
)
from layerstore.drivers.root.volumes import make_volume
from layerstore.drivers.system.proc_children import children_of
from tests.conftest import OpenStore
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.homes import directories_of
from tests.support.processes import kill
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until
from tests.support.ways.marks import CALLS_BACK, INSIDE, OWNERS, pid_of

pytestmark = pytest.mark.root

BASE = {"etc": None, "etc/hosts": b"localhost", "etc/motd": b"hello"}
MANY = 5_000
"""Names that take so long to copy that something may happen meanwhile; all of one file, as that is
quick to delete."""


@pytest.fixture
def base(store: LayerStore) -> str:
    return store.register(layer_tar(BASE)).chain_id


@pytest.fixture
def source(store: LayerStore, base: str) -> RWLayer:
    rw = store.create_rw_layer("source", base)
    with rw.mounted() as path:
        Path(path, "etc/hosts").write_bytes(b"changed")
        Path(path, "etc/motd").unlink()
        Path(path, "new").write_bytes(b"new")
    return rw


@pytest.fixture
def large(store: LayerStore) -> RWLayer:
    """A layer that takes long to copy."""
    rw = store.create_rw_layer("large")
    with rw.mounted() as path:
        fill(path)
    return rw


def fill(path: str) -> None:
    Path(path, "0").touch()
    for number in range(1, MANY):
        os.link(f"{path}/0", f"{path}/{number}")


def files(rw: RWLayer) -> dict[str, bytes]:
    with rw.mounted() as path:
        top = Path(path)
        return {
            str(file.relative_to(top)): file.read_bytes()
            for file in sorted(top.rglob("*"))
            if file.is_file()
        }


def test_a_fork_has_the_same_content_and_then_its_own(source: RWLayer, base: str) -> None:
    one = source.fork("one")
    assert (one.name, one.parent) == ("one", base)
    assert one.mount_id != source.mount_id
    assert one.changes() == source.changes()
    assert files(one) == {"etc/hosts": b"changed", "new": b"new"}
    with one.mounted() as path:
        Path(path, "new").write_bytes(b"the fork's")
        with source.mounted() as other:
            Path(other, "etc/hosts").unlink()
    assert files(one) == {"etc/hosts": b"changed", "new": b"the fork's"}
    assert files(source) == {"new": b"new"}


def test_what_is_mounted_is_forked_as_it_is_now(store: LayerStore, source: RWLayer) -> None:
    with source.mounted() as path:
        Path(path, "during").write_bytes(b"1")
        one = source.fork("one")
        Path(path, "during").write_bytes(b"2")
        two = one.fork("two")
    for rw in (one, two):
        assert files(rw)["during"] == b"1"
    assert {mount.name: mount.mount_count for mount in store.mounts()} == {
        "one": 0,
        "source": 0,
        "two": 0,
    }


def test_what_it_is_made_on_stays_as_long_as_it_does(store: LayerStore) -> None:
    layer = store.register(layer_tar(BASE))
    source = store.create_rw_layer("source", layer.chain_id)
    assert layer.release() == []
    one = source.fork("one")
    assert source.release() == []
    assert files(one) == {"etc/hosts": b"localhost", "etc/motd": b"hello"}
    assert [gone.chain_id for gone in one.release()] == [layer.chain_id]
    assert store.map() == {}


def test_bad_names_and_sources_leave_nothing(store: LayerStore, source: RWLayer) -> None:
    other = store.get_rw_layer("source")
    other.release()
    before = store.mounts()
    refused: list[tuple[type[LayerStoreError], RWLayer, str]] = [
        (InvalidName, source, "../vain"),
        (MountNameConflict, source, "source"),
        (LayerNotRetained, other, "vain"),
    ]
    for error, of, name in refused:
        with pytest.raises(error):
            of.fork(name)
    with pytest.raises(TypeError):
        source.fork(1)  # type: ignore[arg-type]
    source.release()
    with pytest.raises(MountDoesNotExist):
        source.fork("vain")
    assert [mount.name for mount in before] == ["source"]
    assert store.mounts() == []


@CALLS_BACK
def test_an_init_layer_is_forked_too(store: LayerStore, base: str) -> None:
    def init(path: str) -> None:
        Path(path, "from-init").write_bytes(b"init")

    source = store.create_rw_layer("source", base, init=init)
    one = source.fork("one")
    assert one.changes() == []
    source.release()
    assert files(one)["from-init"] == b"init"
    (mount,) = store.mounts()
    assert mount.init_id == f"{one.mount_id}-init"
    one.release()
    store.drain()
    assert f"{one.mount_id}-init" not in directories_of(store)


def test_a_fork_is_there_after_reopening(open_store: OpenStore, store: LayerStore) -> None:
    store.create_rw_layer("source").fork("one")
    root = store.root
    store.close()
    again = open_store(root=root)
    assert again.check() == []
    again.get_rw_layer("one").release()


@OWNERS
def test_it_is_made_from_the_same_image_and_has_its_volumes(
    store: LayerStore, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(as_tar(docker_archive([layer_tar(BASE)])))
    (image,) = store.images.load(archive)
    source = store.images.create("source", NAME)
    with source.mounted() as path:
        volume = make_volume(store.root, source.mount_id, path, "/etc")
    Path(volume, "kept").write_bytes(b"1")
    one = source.fork("one")
    record, copied = (store.images.record_of(rw.mount_id) for rw in (source, one))
    assert record is not None
    assert copied is not None
    assert (copied.image_id, copied.image) == (image.id, NAME)
    assert copied.created > record.created
    source.release()
    with one.mounted() as path:
        volume = make_volume(store.root, one.mount_id, path, "/etc")
    assert sorted(os.listdir(volume)) == ["hosts", "kept", "motd"]
    with pytest.raises(LayerStoreError, match="one"):
        store.images.remove(NAME)
    one.release()
    assert not os.path.exists(os.path.dirname(volume))


def test_many_are_made_at_once(store: LayerStore, source: RWLayer) -> None:
    expected = files(source)
    with ThreadPoolExecutor(10) as threads:
        forks = list(threads.map(lambda number: source.fork(f"fork-{number}"), range(6)))
    assert files(forks[3]) == expected
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(RWLayer.release, forks))
    store.drain()
    assert [mount.name for mount in store.mounts()] == ["source"]
    assert source.mount_id in directories_of(store)
    assert not {rw.mount_id for rw in forks} & set(directories_of(store))


def test_all_of_two_forks_of_one_name_but_one_are_refused(source: RWLayer) -> None:
    outcomes: list[object] = []
    threads = [in_thread(lambda: source.fork("one"), outcomes) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        *["MountNameConflict"] * 3,
        type(source).__name__,
    ]


# What comes to nothing


def only_the_source_is_left(store: LayerStore, source: RWLayer) -> None:
    wait_until(lambda: [mount.name for mount in store.mounts()] == [source.name])
    store.drain()
    assert set(directories_of(store)) == {source.mount_id}
    assert store.check() == []
    source.fork("vain").release()


def test_a_fork_without_the_time_for_it_is_undone(store: LayerStore, large: RWLayer) -> None:
    with pytest.raises(CallTimeout):
        large.fork("vain", timeout=0.05)
    only_the_source_is_left(store, large)


def test_a_fork_whose_worker_is_killed_is_undone(store: LayerStore, large: RWLayer) -> None:
    outcomes: list[object] = []
    thread = in_thread(lambda: large.fork("vain"), outcomes)
    while thread.is_alive():  # whichever child it is that has the job, or is spawned for it
        for pid in children_of(pid_of(store)):
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
    thread.join()
    (outcome,) = outcomes
    assert isinstance(outcome, WorkerDied)
    only_the_source_is_left(store, large)


def test_its_source_stays_until_it_is_made(store: LayerStore, large: RWLayer) -> None:
    outcomes: list[object] = []
    thread = in_thread(lambda: large.fork("one"), outcomes)
    wait_until(lambda: len(store.mounts()) == 2)
    large.release()
    thread.join()
    (one,) = outcomes
    assert isinstance(one, RWLayer)
    with one.mounted() as path:
        assert len(os.listdir(path)) == MANY
    assert [mount.name for mount in store.mounts()] == ["one"]


@INSIDE
def test_an_actor_gives_up_a_fork(store: LayerStore, large: RWLayer) -> None:
    later = store.later.get_rw_layer("large").get()
    made = later.fork("vain")
    made.abandon()
    with pytest.raises(JobCancelled):
        made.get()
    later.release().get()
    only_the_source_is_left(store, large)


@INSIDE
def test_a_task_that_is_cancelled_has_it_undone(root_dir: Path, driver_name: str) -> None:
    async def steps() -> None:
        async with AsyncLayerStore(str(root_dir / "aio"), driver=driver_name) as store:
            source = await store.create_rw_layer("source")
            async with source.mounted() as path:
                fill(path)
            task = asyncio.create_task(source.fork("vain"))
            while len(await store.mounts()) == 1:
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while len(await store.mounts()) > 1:
                pass
            async with await source.fork("vain") as one:
                assert one.name == "vain"
            await source.reset()
            assert await source.changes() == []

    asyncio.run(steps())


@pytest.mark.thorough
def test_a_store_that_is_closed_meanwhile_has_no_half_of_it(
    open_store: OpenStore, store: LayerStore, large: RWLayer
) -> None:
    outcomes: list[object] = []
    thread = in_thread(lambda: large.fork("perhaps"), outcomes)
    wait_until(lambda: len(store.mounts()) == 2)
    root, mount_id = store.root, large.mount_id
    store.close()
    thread.join()
    again = open_store(root=root)
    assert again.check() == []
    names = [mount.name for mount in again.mounts()]
    if isinstance(outcomes[0], RWLayer):
        assert names == ["large", "perhaps"]
    else:
        assert names == ["large"]
        again.drain()
        assert set(directories_of(again)) == {mount_id}


@pytest.mark.thorough
def test_forks_at_the_same_time_as_changes(source: RWLayer) -> None:
    done = threading.Event()

    def change() -> None:
        with source.mounted() as path:
            number = 0
            while not done.is_set():
                Path(path, "new").write_bytes(b"%d" % number)
                os.rename(f"{path}/new", f"{path}/other")
                os.rename(f"{path}/other", f"{path}/new")
                number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(5):
            assert files(source.fork(f"fork-{number}"))["etc/hosts"] == b"changed"
    finally:
        done.set()
        thread.join()
