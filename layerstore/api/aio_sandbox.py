"""Sandboxes for an event loop: AsyncSandbox, with the names of Sandbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from layerstore.api.sandboxes.box import MOST_OUTPUT, Sandbox
from layerstore.api.threads import InThread
from layerstore.drivers.cgroup.usage import Usage
from layerstore.drivers.model.tree import Change
from layerstore.drivers.sandbox.network.plan import PublishedPort
from layerstore.images.image import Image
from layerstore.sandbox.files import MOST_READ, Entry
from layerstore.sandbox.reachable import ExecOptions
from layerstore.sandbox.running import Finished, Running

if TYPE_CHECKING:
    from layerstore.sandbox.runnable import RunOptions

T = TypeVar("T")
_MOST_COMMANDS = 1000
"""That run at once; each has a thread that waits for it. Others wait for their turn."""


class AsyncSandbox:
    """A Sandbox for an event loop; every method has the name and the meaning that it has there.

    Made by `AsyncLayerStore.sandbox`. Use it as an asynchronous context manager.
    """

    def __init__(self, store: InThread, make: Callable[[], Sandbox]) -> None:
        """Take what makes it, which `open` does, or `async with`."""
        self._store = store
        self._make = make
        self._made: Sandbox | None = None
        self._waiting = ThreadPoolExecutor(_MOST_COMMANDS, "layerstore-sandbox")

    async def open(self) -> Self:
        """Make it; raises what LayerStore.sandbox raises. Returns itself."""
        self._made = await self._store.in_thread(self._make, Sandbox.close)
        return self

    @property
    def blocking(self) -> Sandbox:
        """The Sandbox behind it. ValueError before it is opened."""
        if self._made is None:
            raise ValueError("the sandbox isn't open yet")
        return self._made

    @property
    def name(self) -> str:
        """See Sandbox.name."""
        return self.blocking.name

    @property
    def workdir(self) -> str:
        """See Sandbox.workdir."""
        return self.blocking.workdir

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """See Sandbox.ports."""
        return self.blocking.ports

    async def exec(
        self,
        argv: Sequence[str],
        *,
        given: bytes | None = None,
        most_output: int = MOST_OUTPUT,
        **options: Unpack[ExecOptions],
    ) -> Finished:
        """See Sandbox.exec. If the task is cancelled, the command is killed first."""
        start = partial(self.blocking.start_piped, argv, given, **options)
        running = await self._store.in_thread(start, Running.end)
        doing = self._waiting.submit(running.wait_and_end, given, most_output)
        waiting = asyncio.wrap_future(doing)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            running.kill()
            await asyncio.wait([waiting])
            raise

    async def pause(self) -> None:
        """See Sandbox.pause."""
        await self._do(Sandbox.pause)

    async def resume(self) -> None:
        """See Sandbox.resume."""
        await self._do(Sandbox.resume)

    async def stats(self) -> Usage:
        """See Sandbox.stats."""
        return await self._do(Sandbox.stats)

    async def read_file(self, path: str, *, most: int = MOST_READ) -> bytes:
        """See Sandbox.read_file."""
        return await self._do(Sandbox.read_file, path, most=most)

    async def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        """See Sandbox.write_file."""
        await self._do(Sandbox.write_file, path, content, mode=mode, owner=owner)

    async def stat(self, path: str) -> Entry:
        """See Sandbox.stat."""
        return await self._do(Sandbox.stat, path)

    async def list_directory(self, path: str = "") -> list[Entry]:
        """See Sandbox.list_directory."""
        return await self._do(Sandbox.list_directory, path)

    async def upload(
        self, source: str | os.PathLike[str], path: str, *, owner: tuple[int, int] | None = None
    ) -> None:
        """See Sandbox.upload."""
        await self._do(Sandbox.upload, source, path, owner=owner)

    async def download(self, path: str, target: str | os.PathLike[str]) -> None:
        """See Sandbox.download."""
        await self._do(Sandbox.download, path, target)

    async def diff(self) -> list[Change]:
        """See Sandbox.diff."""
        return await self._do(Sandbox.diff)

    async def commit(self, name: str) -> Image:
        """See Sandbox.commit."""
        return await self._do(Sandbox.commit, name)

    async def flatten(self, name: str) -> Image:
        """See Sandbox.flatten."""
        return await self._do(Sandbox.flatten, name)

    async def fork(self, count: int = 1) -> list[AsyncSandbox]:
        """See Sandbox.fork. If the task is cancelled, none of them is left."""
        forks = await self._store.in_thread(partial(self.blocking.fork, count), _close_all)
        return [self._of(fork) for fork in forks]

    def _of(self, made: Sandbox) -> AsyncSandbox:
        another = AsyncSandbox(self._store, self._make)
        another._made = made
        return another

    async def reset(self) -> None:
        """See Sandbox.reset."""
        await self._do(Sandbox.reset)

    async def close(self) -> None:
        """See Sandbox.close; it goes on to its end even if the task is cancelled."""
        if self._made is not None:
            await self._do(Sandbox.close)
        self._waiting.shutdown(wait=False)

    async def _do(self, method: Callable[..., T], *arguments: Any, **options: Any) -> T:
        return await self._store.in_thread(partial(method, self.blocking, *arguments, **options))

    async def __aenter__(self) -> Self:
        return self if self._made is not None else await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _close_all(boxes: Sequence[Sandbox]) -> None:
    for box in boxes:
        box.close()


def sandbox_of(
    store: InThread,
    image: str,
    name: str,
    storage_opt: Mapping[str, str] | None,
    options: RunOptions,
) -> AsyncSandbox:
    """Return a sandbox that is still to be made."""

    def make() -> Sandbox:
        return store.blocking.sandbox(image, name=name, storage_opt=storage_opt, **options)

    return AsyncSandbox(store, make)
