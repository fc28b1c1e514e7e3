"""An attached store does what any other does, and its owner notices nothing but the work."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import (
    AsyncLayerStore,
    CallerError,
    CallTimeout,
    CannotAttach,
    IntegrityError,
    LayerDoesNotExist,
    LayerNotRetained,
    LayerStore,
    MountDoesNotExist,
    MountNameConflict,
    OwnersAlone,
    StoreClosed,
    StoreLocked,
    mount_points,
)
from layerstore.actors import messages as m
from tests.conftest import OpenStore
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar
from tests.support.waiting import wait_until

TAR = layer_tar({"etc": None, "etc/passwd": b"root"})
MORE = layer_tar({"etc/group": b"root"})
UNDERWAY = m.Underway()
NO_CHAIN = "sha256:" + "0" * 64


@pytest.fixture
def attached(store: LayerStore) -> Iterator[LayerStore]:
    """A store that is attached to another one, which this process has open, too."""
    with LayerStore.attach(store.root) as other:
        yield other


def test_layers_are_made_read_and_given_back(store: LayerStore, attached: LayerStore) -> None:
    base = attached.register(TAR)
    top = attached.register(io.BytesIO(MORE), base.chain_id)
    assert attached.map() == store.map()
    assert attached.get(top.chain_id).parent == base.chain_id
    with top.tar_stream() as stream:
        assert stream.read() == MORE
    with top.tar_stream_from(None) as stream:
        assert b"passwd" in stream.read()
    assert top.metadata() == store.get(top.chain_id).metadata()
    assert store.map()[top.chain_id].references == 3
    assert base.release() == []
    with pytest.raises(LayerNotRetained):
        base.release()


def test_read_write_layers_are_made_mounted_changed_and_removed(
    store: LayerStore, attached: LayerStore
) -> None:
    base = attached.register(TAR)
    with attached.create_rw_layer("web", base.chain_id) as rw:
        with pytest.raises(MountNameConflict):
            store.create_rw_layer("web")
        with rw.mounted() as path:
            assert Path(path, "etc/passwd").read_bytes() == b"root"
            Path(path, "new\udcff").touch()
        assert [change.path for change in rw.changes()] == ["/new\udcff"]
        assert rw.size() == 0
        assert rw.apply_diff(MORE) == 4
        with rw.tar_stream() as stream:
            assert b"etc/group" in stream.read()
        assert rw.metadata()
        assert attached.get_mount_id("web") == store.get_mount_id("web") == rw.mount_id
        assert attached.mounts() == store.mounts()
        assert attached.find_rw_layer(rw.mount_id[:20]) == store.find_rw_layer(rw.mount_id[:20])
        assert attached.find_layer(base.chain_id[:20]) == store.find_layer(base.chain_id[:20])
        assert (attached.count_layers(), attached.count_rw_layers()) == (1, 1)
    assert store.mounts() == []


def test_errors_are_the_same(attached: LayerStore) -> None:
    with pytest.raises(LayerDoesNotExist, match=NO_CHAIN):
        attached.get(NO_CHAIN)
    with pytest.raises(LayerDoesNotExist):
        attached.register(TAR, NO_CHAIN)
    with pytest.raises(MountDoesNotExist):
        attached.get_rw_layer("web")
    with pytest.raises(LayerDoesNotExist, match="abcd"):
        attached.find_layer("abcd")
    with pytest.raises(IntegrityError):
        attached.register(TAR, expected_diff_id=NO_CHAIN)
    with pytest.raises(CallerError, match="reading the tar's source"):
        attached.register(Failing())
    assert attached.map() == {}
    layer = attached.register(TAR)
    layer.release()
    with pytest.raises(LayerDoesNotExist):
        layer.tar_stream()


class Failing(io.RawIOBase):
    """A stream that breaks."""

    def read(self, _size: int = -1) -> bytes:
        raise ValueError("broken")


def test_images_are_loaded_listed_saved_and_removed(
    store: LayerStore, attached: LayerStore, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(as_tar(docker_archive([TAR, MORE], ["app:1"])))
    (image,) = attached.images.load(archive)
    assert store.images.get("app:1").id == image.id
    attached.images.tag("app:1", "app:2")
    attached.images.save(["app:2"], tmp_path / "saved.tar")
    with attached.images.create("web", "app:1") as rw:
        assert attached.images.commit(rw, "app:3").names == ("app:3",)
    assert [len(image.names) for image in store.images.list()] == [1, 2]
    for name in ("app:1", "app:2", "app:3"):
        attached.images.remove(name)
    assert store.images.list() == []


def test_what_it_tells_of_itself_is_the_owners(store: LayerStore, attached: LayerStore) -> None:
    attached.register(TAR)
    assert attached.driver_name == store.driver_name
    assert attached.driver_status() == store.driver_status()
    assert attached.driver_reason == store.driver_reason
    assert attached.metrics().layers == 1
    assert attached.faults == store.faults == []
    assert attached.check(full=True) == []
    assert [record.kind for record in attached.trace()][:1] == ["Register"]
    assert {actor.name for actor in attached.waiting().actors} >= {"layers", "mounts", "images"}
    attached.drain()


def test_what_only_the_owner_can_do_says_so(attached: LayerStore) -> None:
    for act in (
        attached.repair,
        lambda: attached.create_rw_layer("web", init=lambda _: None),
        lambda: attached.later.create_rw_layer("web", init=lambda _: None).get(timeout=60),
    ):
        with pytest.raises(OwnersAlone, match=f"only process {os.getpid()} can"):
            act()
    assert attached.mounts() == []
    with attached.create_rw_layer("web", attached.register(TAR).chain_id, init=mount_points) as rw:
        assert rw.changes() == []
        with rw.mounted() as path:
            assert os.path.islink(f"{path}/etc/mtab")


def test_futures_and_event_loops_have_their_answers(store: LayerStore) -> None:
    async def work() -> str:
        async with AsyncLayerStore.attach(store.root) as attached:
            layer = await attached.register(TAR)
            async with await attached.create_rw_layer("web", layer.chain_id) as rw:
                assert await rw.size() == 0
            async with layer.tar_stream() as stream:
                assert await stream.read() == TAR
            with pytest.raises(MountDoesNotExist):
                await attached.get_rw_layer("web")
            return layer.chain_id

    kept = store.register(TAR)
    chain = asyncio.run(work())
    assert chain == kept.chain_id
    with LayerStore.attach(store.root) as attached:
        assert attached.later.get(chain).get(timeout=60).chain_id == chain
        with pytest.raises(LayerDoesNotExist):
            attached.later.get(NO_CHAIN).get(timeout=60)


def test_what_is_held_goes_with_the_connection_and_what_was_made_stays(store: LayerStore) -> None:
    attached = LayerStore.attach(store.root)
    layer = attached.register(TAR)
    attached.get(layer.chain_id)
    web = attached.create_rw_layer("web", layer.chain_id)
    web.mount()
    kept = attached.create_rw_layer("kept", layer.chain_id)
    path = Path(kept.mount())
    kept.mount()
    assert store.map()[layer.chain_id].references == 4
    attached.close(keep_mounts=True)
    wait_until(lambda: store.map()[layer.chain_id].references == 2)
    assert [(mount.name, mount.references) for mount in store.mounts()] == [("kept", 0), ("web", 0)]
    assert path.joinpath("etc/passwd").exists()
    with pytest.raises(StoreClosed):
        layer.release()
    assert [store.get_rw_layer(name).release() != [] for name in ("kept", "web")] == [False, True]


def test_closing_unmounts_what_was_mounted_through_it(store: LayerStore) -> None:
    rw = store.create_rw_layer("web")
    rw.mount()
    with LayerStore.attach(store.root) as attached:
        same = attached.get_rw_layer("web")
        same.mount()
        same.mount()
        assert store.mounts()[0].mount_count == 3
    assert store.mounts()[0].mount_count == 1


def test_a_reference_is_its_own_processes_alone(store: LayerStore) -> None:
    layer = store.register(TAR)
    with LayerStore.attach(store.root) as one, LayerStore.attach(store.root) as other:
        one.get(layer.chain_id)
        mine = other.get(layer.chain_id)
        mine.release()
        # Numbers that `one` and the owner have mean nothing to the owner from `other`.
        with pytest.raises(LayerNotRetained):
            mine.release()
        with pytest.raises(LayerNotRetained):
            other.release(one.get(layer.chain_id))
        assert store.map()[layer.chain_id].references == 3


def test_a_call_that_takes_too_long_is_undone(store: LayerStore, attached: LayerStore) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(CallTimeout):
            attached.register(reader, timeout=0.2)
        wait_until(lambda: not any(store._core.call(store._core.actors.layers, UNDERWAY).busy))
    finally:
        os.close(reader)
        os.close(writer)
    assert attached.map() == {}
    assert attached.check() == []


def test_a_long_question_and_a_long_answer_arrive(attached: LayerStore) -> None:
    base = attached.register(TAR)
    descriptor = '{"a": "%s"}' % ("x" * 3_000_000)
    layer = attached.register(MORE, base.chain_id, descriptor=descriptor)
    assert layer.descriptor == descriptor


def test_who_comes_second_is_told_how_to_attach(root_dir: Path) -> None:
    with pytest.raises(CannotAttach, match="no process listens there"):
        LayerStore.attach(root_dir)
    with LayerStore(root_dir, driver="vfs", listen=False):
        with pytest.raises(StoreLocked, match=r"LayerStore\.attach"):
            LayerStore(root_dir)
        with pytest.raises(CannotAttach, match="no process listens there"):
            LayerStore.attach(root_dir)
        assert sorted(os.listdir(root_dir / "layerstore")) == ["lock", "trash"]


_SEES_NOT = """
import sys
from layerstore import LayerStore, OwnersAlone
with LayerStore.attach(sys.argv[1]) as store:
    try:
        store.create_rw_layer("web", sys.argv[2]).mount()
    except OwnersAlone as error:
        print(error)
"""


@pytest.mark.root
def test_a_mount_that_a_process_does_not_see_is_undone(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="overlay2", prespawn=False) as store:
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c"]
        chain = store.register(TAR).chain_id
        done = subprocess.run(
            [*command, _SEES_NOT, str(root_dir), chain], capture_output=True, text=True, check=True
        )
        assert "is mounted where this process doesn't see it" in done.stdout
        wait_until(lambda: store.mounts()[0].mount_count == 0)


def test_the_owner_may_be_repaired_and_attached_to_again(open_store: OpenStore) -> None:
    store = open_store()
    layer = store.register(TAR)
    attached = LayerStore.attach(store.root)
    os.mkdir(f"{store.root}/image/{store.driver_name}/layerdb/tmp/write-set-1")
    assert len(store.repair()) == 1
    with pytest.raises(StoreClosed):
        attached.get(layer.chain_id)
    attached.close()
    with LayerStore.attach(store.root) as again:
        assert len(again.get(layer.chain_id).release()) == 1
