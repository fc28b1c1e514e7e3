"""Sandboxes from an event loop: the same, and cancelled without anything being left."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from layerstore import AsyncLayerStore, AsyncSandbox, ChangeKind, ImageDoesNotExist, LimitExceeded
from tests.support.busybox import NAME, image_tar

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
ENV = {"PATH": "/bin"}
Test = Callable[[AsyncLayerStore], Awaitable[None]]


@pytest.fixture
def in_a_store(base_directory: Path) -> Callable[[Test], None]:
    """A function that runs a coroutine with a store, in which no layer is left at its end."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncLayerStore]:
        place = tempfile.mkdtemp(prefix="aio-boxes-", dir=base_directory)
        options = {"driver": "overlay2", "workers": 0, "durability": "relaxed"}
        async with AsyncLayerStore(place, **options) as store:
            await store.images.load(io.BytesIO(image_tar()))
            yield store

    async def run(test: Test) -> None:
        async with opened() as store:
            await test(store)
            assert await store.mounts() == []

    return lambda test: asyncio.run(run(test))


def test_a_sandbox_is_used_by_tasks(in_a_store: Callable[[Test], None]) -> None:
    async def test(store: AsyncLayerStore) -> None:
        async with store.sandbox(NAME, env=ENV, workdir="/srv") as box:
            assert box.workdir == "/srv"
            await box.write_file("state", b"one")
            lines = [f"cat /srv/state; echo {number}" for number in range(8)]
            done = await asyncio.gather(*(box.exec(["sh", "-c", line]) for line in lines))
            assert [one.stdout for one in done] == [b"one%d\n" % number for number in range(8)]
            assert (await box.exec(["cat"], given=b"given")).stdout == b"given"
            first, second = await box.fork(2)
            async with first, second:
                await first.write_file("state", b"two")
                assert await second.read_file("state") == b"one"
                assert (await first.exec(["cat", "state"])).stdout == b"two"
            (change,) = [one for one in await box.diff() if one.path == "/srv/state"]
            assert change.kind is ChangeKind.ADD
            await box.reset()
            assert await box.list_directory() == []

    in_a_store(test)


def test_a_cancelled_command_is_killed_and_the_sandbox_goes_on(
    in_a_store: Callable[[Test], None],
) -> None:
    async def test(store: AsyncLayerStore) -> None:
        async with store.sandbox(NAME, env=ENV) as box:
            command = ["sh", "-c", "echo > /srv/begun; exec sleep 60"]
            task = asyncio.create_task(box.exec(command))
            while not await box.list_directory("/srv"):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            left = (await box.exec(["ps"])).stdout or b""
            assert b"sleep" not in left
            with pytest.raises(LimitExceeded):
                await box.exec(["sh", "-c", "while :; do echo yes; done"], most_output=100)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await box.exec(["sleep", "60"])

    in_a_store(test)


def test_what_is_cancelled_while_it_is_made_is_gone(in_a_store: Callable[[Test], None]) -> None:
    async def test(store: AsyncLayerStore) -> None:
        async def use(box: AsyncSandbox) -> None:
            async with box:
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(use(store.sandbox(NAME, env=ENV))) for _ in range(4)]
        while not await store.mounts():
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while await store.mounts():  # what nobody gets is undone behind
            await asyncio.sleep(0)
        with pytest.raises(ImageDoesNotExist):
            await store.sandbox("none:1").open()
        with pytest.raises(ValueError, match="isn't open"):
            store.sandbox(NAME).blocking  # noqa: B018 - it raises

    in_a_store(test)
