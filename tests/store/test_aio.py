"""AsyncLayerStore: the calls of LayerStore in an event loop, and cancelling them."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from layerstore import (
    AsyncLayerStore,
    CallerError,
    CallTimeout,
    IntegrityError,
    LayerDoesNotExist,
    LayerStore,
    MountNameConflict,
    StoreClosed,
    StoreLocked,
)
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar, many_files
from tests.support.ways.marks import CALLS_BACK
from tests.support.ways.opening import Opening

NO_CHAIN = "sha256:" + "0" * 64
Steps = Callable[[AsyncLayerStore], Coroutine[Any, Any, None]]
Run = Callable[[Steps], None]


@pytest.fixture
def run(opening: Opening, driver_name: str) -> Run:
    """A function that runs steps with an open store in an event loop of their own."""

    def run_steps(steps: Steps) -> None:
        async def main() -> None:
            async with opening.asynchronous(driver=driver_name) as store:
                await asyncio.wait_for(steps(store), 60)

        asyncio.run(main())

    return run_steps


def test_the_calls_are_those_of_the_blocking_store(run: Run, tmp_path: Path) -> None:
    tar = many_files(300, 100)
    archive = tmp_path / "image.tar"
    archive.write_bytes(as_tar(docker_archive([layer_tar({"x": b"1"})], ["app:1"])))

    async def steps(store: AsyncLayerStore) -> None:
        base = await store.register(tar)
        async with base.tar_stream() as stream:
            assert b"".join([piece async for piece in stream]) == tar
        async with base.tar_stream() as stream:
            assert await stream.read() == tar
        assert await base.metadata()
        assert list(await store.map()) == [base.chain_id]
        async with await store.create_rw_layer("rw", base.chain_id) as rw:
            async with rw.mounted() as path:
                Path(path, "new").write_bytes(b"1")
            assert [str(change) for change in await rw.changes()] == ["A /new"]
            assert await rw.apply_diff(io.BytesIO(layer_tar({"more": b"22"}))) > 0
            assert await rw.size() == 3
            assert rw.mount_id == await store.get_mount_id("rw")
            assert (await store.find_rw_layer(rw.mount_id)).name == "rw"
            assert (await store.find_layer(base.chain_id)).diff_id == base.diff_id
            assert (await store.count_layers(), await store.count_rw_layers()) == (1, 1)
            with pytest.raises(MountNameConflict):
                await store.create_rw_layer("rw")
            async with rw.tar_stream() as stream:
                assert b"more" in await stream.read()
        assert await store.mounts() == []
        assert await store.usage() == {}
        (image,) = await store.images.load(archive)
        made = await store.images.create("job", "app:1")
        committed = await store.images.commit(made, "app:2")
        assert await store.images.count() == 2
        await store.images.save(["app:2"], tmp_path / "out.tar")
        assert {found.id for found in await store.images.list()} == {image.id, committed.id}
        await made.release()
        await store.images.tag("app:1", "app:3")
        for name in ("app:1", "app:2", "app:3"):
            await store.images.remove(name)
        with pytest.raises(LayerDoesNotExist):
            await store.get(NO_CHAIN)
        assert await base.release()
        await store.drain()
        assert await store.check() == []

    run(steps)


def test_hundreds_of_calls_at_once_need_no_thread_each(run: Run) -> None:
    async def steps(store: AsyncLayerStore) -> None:
        base = await store.register(layer_tar({"a": b"1"}))
        before = threading.active_count()
        async with asyncio.TaskGroup() as group:
            made = [
                group.create_task(store.create_rw_layer(f"rw-{number}", base.chain_id))
                for number in range(300)
            ]
        assert threading.active_count() - before < 20
        async with asyncio.TaskGroup() as group:
            for task in made:
                group.create_task(task.result().release())
        assert await store.mounts() == []

    run(steps)


class Stuck:
    """A tar that comes half, and the rest when it may."""

    def __init__(self) -> None:
        self._tar = many_files(2000)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def read(self, size: int, /) -> bytes:
        if len(self._tar) < 1 << 19:
            self.begun.set()
            assert self.go_on.wait(60)
        piece, self._tar = self._tar[:size], self._tar[size:]
        return piece


def test_a_cancelled_registration_leaves_nothing(run: Run) -> None:
    source = Stuck()

    async def steps(store: AsyncLayerStore) -> None:
        task = asyncio.create_task(store.register(source))
        await asyncio.to_thread(source.begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        source.go_on.set()
        await store.drain()
        assert await store.map() == {}
        assert await store.check() == []

    run(steps)


@CALLS_BACK
def test_a_cancelled_creation_frees_its_name(run: Run) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        begun.set()
        assert go_on.wait(60)

    async def steps(store: AsyncLayerStore) -> None:
        task = asyncio.create_task(store.create_rw_layer("rw", init=init))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        while await store.mounts():
            pass
        await (await store.create_rw_layer("rw")).release()

    run(steps)


@CALLS_BACK
def test_whoever_is_out_of_time_has_it_undone(run: Run) -> None:
    go_on = threading.Event()

    def init(_path: str) -> None:
        assert go_on.wait(60)

    async def steps(store: AsyncLayerStore) -> None:
        with pytest.raises(CallTimeout):
            await store.create_rw_layer("rw", init=init, timeout=0.2)
        go_on.set()
        while await store.mounts():
            pass

    run(steps)


def test_what_a_cancelled_task_had_begun_fails_quietly(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, noise = threading.Event(), list[dict[str, Any]]()

    def fail() -> None:
        assert go_on.wait(60)
        raise StoreClosed("the root")

    async def steps(store: AsyncLayerStore) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        task = asyncio.create_task(store.in_thread(fail))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        while "had begun failed" not in caplog.text:
            await asyncio.sleep(0)
        del task
        gc.collect()

    with caplog.at_level(logging.INFO):
        run(steps)
    assert noise == []


class Broken:
    def read(self, _size: int, /) -> bytes:
        raise ValueError("no")


def test_a_source_that_fails_says_why(run: Run) -> None:
    async def steps(store: AsyncLayerStore) -> None:
        with pytest.raises(CallerError, match="no"):
            await store.register(Broken())
        assert await store.map() == {}

    run(steps)


def test_a_damaged_layer_shows_at_the_end_of_its_stream(run: Run, root_dir: Path) -> None:
    async def steps(store: AsyncLayerStore) -> None:
        base = await store.register(layer_tar({"a": b"12345"}))
        (file,) = [path for path in root_dir.rglob("a") if path.is_file()]
        file.write_bytes(b"54321")
        async with base.tar_stream() as stream:
            with pytest.raises(IntegrityError):
                await stream.read()

    run(steps)


def test_a_store_that_cannot_be_opened_says_so(store: LayerStore, driver_name: str) -> None:
    async def main() -> None:
        another = AsyncLayerStore(store.root, driver=driver_name)
        with pytest.raises(ValueError, match="isn't open"):
            await another.map()
        with pytest.raises(StoreLocked):
            await another.open()

    asyncio.run(main())


def test_calls_after_closing_are_refused(run: Run) -> None:
    async def steps(store: AsyncLayerStore) -> None:
        await store.close()
        with pytest.raises(StoreClosed):
            await store.map()
        with pytest.raises(StoreClosed):
            await store.images.list()
        await store.close()

    run(steps)
