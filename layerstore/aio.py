"""The front door for asyncio: AsyncLayerStore, with the names of LayerStore.

Answers reach the event loop by one callback each; no thread waits for them and nothing polls. A
task that is cancelled in a call has that call undone: nothing half-made stays, no reference that
nobody has. What is a row of many steps (images, check, repair, opening and closing) runs in a
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

from layerstore import requests
from layerstore.actors import messages as m
from layerstore.actors.image_messages import RemovedImage
from layerstore.actors.trace import TraceRecord
from layerstore.aio_answers import answer_of, hand_in
from layerstore.aio_stream import AsyncTarStream
from layerstore.drivers.faults import Fault
from layerstore.drivers.ids import ChainID
from layerstore.drivers.protocol import Change
from layerstore.drivers.repair_step import RepairStep
from layerstore.drivers.work import Init
from layerstore.handles import LayerHandle, RWLayerHandle
from layerstore.image import Image
from layerstore.metrics import Metrics
from layerstore.rwlayer import RWLayer
from layerstore.source import Source
from layerstore.store import LayerStore

if TYPE_CHECKING:
    from types import TracebackType

    from layerstore.core import Core

T = TypeVar("T")
log = logging.getLogger("layerstore")


class AsyncLayer(LayerHandle):
    """A retained read-only layer; see Layer."""

    __slots__ = ()

    def tar_stream(self) -> AsyncTarStream:
        """See Layer.tar_stream."""
        return AsyncTarStream(self._core, requests.read(self._reference, self.chain_id))

    def tar_stream_from(self, ancestor: str | None) -> AsyncTarStream:
        """See Layer.tar_stream_from."""
        request = requests.read_from(self._reference, self.chain_id, ancestor)
        return AsyncTarStream(self._core, request)

    async def metadata(self) -> dict[str, str]:
        """See Layer.metadata."""
        request = requests.inspect(self._reference, self.chain_id)
        return await answer_of(self._core.begin(request))

    async def release(self) -> list[m.LayerMetadata]:
        """See LayerStore.release."""
        request = requests.release(self._reference, self.chain_id)
        return await answer_of(self._core.begin(request))


class AsyncRWLayer(RWLayerHandle):
    """A held read-write layer; see RWLayer. An `async with` block over it releases it."""

    __slots__ = ()

    async def mount(self, mount_label: str = "") -> str:
        """See RWLayer.mount."""
        request = requests.mount(self._reference, self.name, mount_label)
        return await answer_of(self._core.begin(request))

    async def unmount(self) -> None:
        """See RWLayer.unmount."""
        await answer_of(self._core.begin(requests.unmount(self._reference, self.name)))

    @contextlib.asynccontextmanager
    async def mounted(self, mount_label: str = "") -> AsyncIterator[str]:
        """See RWLayer.mounted."""
        path = await self.mount(mount_label)
        try:
            yield path
        finally:
            await self.unmount()

    async def changes(self, *, timeout: float | None = None) -> list[Change]:
        """See RWLayer.changes."""
        request = requests.changes(self._reference, self._core.new_reference(), self.name)
        return await answer_of(self._core.begin(request), timeout)

    async def size(self, *, timeout: float | None = None) -> int:
        """See RWLayer.size."""
        request = requests.size(self._reference, self._core.new_reference(), self.name)
        return await answer_of(self._core.begin(request), timeout)

    async def apply_diff(self, source: Source, *, timeout: float | None = None) -> int:
        """See RWLayer.apply_diff."""
        number = self._core.new_reference()
        request = requests.apply_diff(self._reference, number, self.name, source)
        return await hand_in(self._core, request, timeout)

    def tar_stream(self) -> AsyncTarStream:
        """See RWLayer.tar_stream."""
        request = requests.read_rw(self._reference, self._core.new_reference(), self.name)
        return AsyncTarStream(self._core, request)

    async def metadata(self) -> dict[str, str]:
        """See RWLayer.metadata."""
        request = requests.inspect_rw(self._reference, self._core.new_reference(), self.name)
        return await answer_of(self._core.begin(request))

    async def release(self) -> list[m.LayerMetadata]:
        """See LayerStore.release_rw_layer."""
        return await answer_of(self._core.begin(requests.release_rw(self._reference, self.name)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release()


class AsyncLayerStore:
    """A LayerStore for an event loop; every method has the name and the meaning that it has there.

    Use it as an asynchronous context manager: `async with AsyncLayerStore(root) as store`.
    """

    def __init__(self, root: str, **options: Any) -> None:
        """Take what LayerStore takes; the root is opened by `open`, or by `async with`."""
        self._root = root
        self._options = options
        self._threads = ThreadPoolExecutor(thread_name_prefix="layerstore-steps")
        self._opened: LayerStore | None = None
        self._closing: Future[None] | None = None

    async def open(self) -> Self:
        """Open the root; raises what LayerStore raises. Returns itself."""
        opening = self._threads.submit(LayerStore, self._root, **self._options)
        try:
            self._opened = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(lambda done: _undo(done, LayerStore.close))
            raise
        finally:
            if self._opened is None:
                self._threads.shutdown(wait=False)
        return self

    @property
    def blocking(self) -> LayerStore:
        """The LayerStore behind it. ValueError before it is opened."""
        if self._opened is None:
            raise ValueError(f"the store {self._root} isn't open yet")
        return self._opened

    @property
    def _core(self) -> Core:
        return self.blocking.core

    @property
    def images(self) -> AsyncImageStore:
        """See LayerStore.images."""
        return AsyncImageStore(self)

    async def register(
        self,
        source: Source,
        parent: str | None = None,
        *,
        descriptor: str | None = None,
        expected_diff_id: str | None = None,
        expected_digest: str | None = None,
        compression: requests.Compression = "none",
        timeout: float | None = None,
    ) -> AsyncLayer:
        """See LayerStore.register; a `source` with a `read` is read in a thread."""
        core, owner = self._core, self.blocking
        reference = core.new_reference()
        request = requests.register(
            reference,
            source,
            parent,
            descriptor=descriptor,
            expected_diff_id=expected_diff_id,
            expected_digest=expected_digest,
            compression=compression,
            take=lambda facts: AsyncLayer(core, facts, reference, owner),
        )
        return await hand_in(core, request, timeout)

    async def get(self, chain: str) -> AsyncLayer:
        """See LayerStore.get."""
        core, owner = self._core, self.blocking
        reference = core.new_reference()
        request = requests.get(
            reference, chain, lambda facts: AsyncLayer(core, facts, reference, owner)
        )
        return await answer_of(core.begin(request))

    async def release(self, layer: AsyncLayer) -> list[m.LayerMetadata]:
        """See LayerStore.release."""
        return await layer.release()

    async def map(self) -> dict[ChainID, m.LayerMetadata]:
        """See LayerStore.map."""
        return await answer_of(self._core.begin(requests.map_layers()))

    async def create_rw_layer(
        self,
        name: str,
        parent: str | None = None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
        timeout: float | None = None,
    ) -> AsyncRWLayer:
        """See LayerStore.create_rw_layer."""
        core, owner = self._core, self.blocking
        reference = core.new_reference()
        request = requests.create_rw_layer(
            reference,
            name,
            parent,
            mount_label=mount_label,
            storage_opt=storage_opt,
            init=init,
            take=lambda facts: AsyncRWLayer(core, facts, reference, owner),
        )
        return await answer_of(core.begin(request), timeout)

    async def get_rw_layer(self, name: str) -> AsyncRWLayer:
        """See LayerStore.get_rw_layer."""
        core, owner = self._core, self.blocking
        reference = core.new_reference()
        request = requests.get_rw_layer(
            reference, name, lambda facts: AsyncRWLayer(core, facts, reference, owner)
        )
        return await answer_of(core.begin(request))

    async def get_mount_id(self, name: str) -> str:
        """See LayerStore.get_mount_id."""
        return await answer_of(self._core.begin(requests.get_mount_id(name)))

    async def release_rw_layer(self, layer: AsyncRWLayer) -> list[m.LayerMetadata]:
        """See LayerStore.release_rw_layer."""
        return await layer.release()

    async def mounts(self) -> list[m.MountMetadata]:
        """See LayerStore.mounts."""
        return await answer_of(self._core.begin(requests.list_mounts()))

    async def drain(self, timeout: float | None = None) -> None:
        """See LayerStore.drain."""
        await answer_of(self._core.begin(requests.drain()), timeout)

    async def check(self, *, full: bool = False) -> list[Fault]:
        """See LayerStore.check."""
        return await self.in_thread(lambda: self.blocking.check(full=full))

    async def repair(self, *, force: bool = False, dry_run: bool = False) -> list[RepairStep]:
        """See LayerStore.repair; once it is begun it goes on to its end."""
        return await self.in_thread(lambda: self.blocking.repair(force=force, dry_run=dry_run))

    async def metrics(self) -> Metrics:
        """See LayerStore.metrics."""
        return await self.in_thread(self.blocking.metrics)

    def trace(self) -> list[TraceRecord]:
        """See LayerStore.trace."""
        return self.blocking.trace()

    async def close(self, *, keep_mounts: bool = False, timeout: float = 10.0) -> None:
        """See LayerStore.close; closing goes on to its end even if the task is cancelled."""
        if self._opened is None:
            return
        if self._closing is None:
            self._closing = self._threads.submit(
                self._opened.close, keep_mounts=keep_mounts, timeout=timeout
            )
            self._threads.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    async def in_thread(self, do: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Do what blocks in a thread. If the task is cancelled, what comes of it is undone."""
        self._core.check_open()
        doing = self._threads.submit(do)
        waiting = asyncio.wrap_future(doing)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.add_done_callback(_note)
            if undo is not None:
                doing.add_done_callback(lambda done: _undo(done, undo))
            raise

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncImageStore:
    """The images of a store; see ImageStore. Its steps run in a thread.

    A task that is cancelled doesn't wait for them; they go on to their end, and a read-write layer
    that comes of them is released.
    """

    __slots__ = ("_store",)

    def __init__(self, store: AsyncLayerStore) -> None:
        self._store = store

    async def list(self) -> list[Image]:
        """See ImageStore.list."""
        return await self._store.in_thread(self._store.blocking.images.list)

    async def get(self, name: str) -> Image:
        """See ImageStore.get."""
        return await self._store.in_thread(lambda: self._store.blocking.images.get(name))

    async def config(self, name: str) -> dict[str, Any]:
        """See ImageStore.config."""
        return await self._store.in_thread(lambda: self._store.blocking.images.config(name))

    async def load(self, source: Any, **options: Any) -> Sequence[Image]:
        """See ImageStore.load."""
        images = self._store.blocking.images
        return await self._store.in_thread(lambda: images.load(source, **options))

    async def save(self, names: Sequence[str], target: Any, **options: Any) -> None:
        """See ImageStore.save."""
        images = self._store.blocking.images
        await self._store.in_thread(lambda: images.save(names, target, **options))

    async def tag(self, image: str, name: str) -> Image:
        """See ImageStore.tag."""
        return await self._store.in_thread(lambda: self._store.blocking.images.tag(image, name))

    async def remove(self, name: str, *, force: bool = False) -> RemovedImage:
        """See ImageStore.remove."""
        images = self._store.blocking.images
        return await self._store.in_thread(lambda: images.remove(name, force=force))

    async def create(self, name: str, image: str, **options: Any) -> AsyncRWLayer:
        """See ImageStore.create."""
        images = self._store.blocking.images
        made = await self._store.in_thread(
            lambda: images.create(name, image, **options), RWLayer.release
        )
        return made.as_handle(AsyncRWLayer)

    async def commit(self, rw: AsyncRWLayer, name: str | None = None, **options: Any) -> Image:
        """See ImageStore.commit."""
        images = self._store.blocking.images
        blocking = rw.as_handle(RWLayer)
        return await self._store.in_thread(lambda: images.commit(blocking, name, **options))


def _note(done: asyncio.Future[T]) -> None:
    """Note how that ended which nobody waits for any more."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.info("what a cancelled task had begun failed: %s", error)


def _undo(done: Future[T], undo: Callable[[T], object]) -> None:
    if done.exception() is None:
        undo(done.result())
