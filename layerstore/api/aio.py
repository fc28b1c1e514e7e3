"""The front door for asyncio: AsyncLayerStore, with the names of LayerStore.

Answers reach the event loop by one callback each; no thread waits for them and nothing polls. A
task that is cancelled in a call has that call undone: nothing half-made stays, no reference that
nobody has. What is a row of many steps (images, check, repair, opening and closing) runs in a
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from layerstore.actors.watching.trace import TraceRecord
from layerstore.api.image_steps import AsyncImageStore
from layerstore.api.steps import AsyncSteps
from layerstore.api.store import LayerStore
from layerstore.api.threads import undo_done
from layerstore.asking.core import Core
from layerstore.operations.asynchronous import AsyncStore

if TYPE_CHECKING:
    from layerstore.api.aio_sandbox import AsyncSandbox
    from layerstore.sandbox.runnable import RunOptions


class AsyncLayerStore(AsyncStore, AsyncSteps):
    """A LayerStore for an event loop; every method has the name and the meaning that it has there.

    Use it as an asynchronous context manager: `async with AsyncLayerStore(root) as store`.
    """

    def __init__(self, root: str, **options: Any) -> None:
        """Take what LayerStore takes; the root is opened by `open`, or by `async with`."""
        super().__init__()
        self._root = root
        self._open: Callable[[], LayerStore] = partial(LayerStore, root, **options)
        self._opened: LayerStore | None = None
        self._closing: Future[None] | None = None

    @classmethod
    def attach(cls, root: str, *, timeout: float = 10.0) -> Self:
        """Take what LayerStore.attach takes; `open`, or `async with`, attaches to the owner."""
        store = cls(root)
        store._open = partial(LayerStore.attach, root, timeout=timeout)
        return store

    async def open(self) -> Self:
        """Open the root; raises what LayerStore raises. Returns itself."""
        opening = self._threads.submit(self._open)
        try:
            self._opened = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(lambda done: undo_done(done, LayerStore.close))
            raise
        finally:
            if self._opened is None:
                self.end_threads()
        return self

    @property
    def blocking(self) -> LayerStore:
        """The LayerStore behind it. ValueError before it is opened."""
        if self._opened is None:
            raise ValueError(f"the store {self._root} isn't open yet")
        return self._opened

    @property
    def core(self) -> Core:
        """The actors behind the store."""
        return self.blocking.core

    @property
    def _owner(self) -> object:
        return self.blocking

    @property
    def images(self) -> AsyncImageStore:
        """See LayerStore.images."""
        return AsyncImageStore(self)

    def sandbox(
        self,
        image: str,
        *,
        name: str = "",
        storage_opt: Mapping[str, str] | None = None,
        **options: Unpack[RunOptions],
    ) -> AsyncSandbox:
        """See LayerStore.sandbox; it is made by `async with`, or by its `open`."""
        # Only here: most stores have none.
        from layerstore.api.aio_sandbox import sandbox_of  # noqa: PLC0415

        return sandbox_of(self, image, name, storage_opt, options)

    def trace(self) -> list[TraceRecord]:
        """See LayerStore.trace."""
        return self.blocking.trace()

    async def close(
        self, *, keep_mounts: bool = False, keep_trash: bool = False, timeout: float = 10.0
    ) -> None:
        """See LayerStore.close; closing goes on to its end even if the task is cancelled."""
        if self._opened is None:
            return
        if self._closing is None:
            self._closing = self._threads.submit(
                self._opened.close,
                keep_mounts=keep_mounts,
                keep_trash=keep_trash,
                timeout=timeout,
            )
            self.end_threads()
        await asyncio.shield(asyncio.wrap_future(self._closing))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
