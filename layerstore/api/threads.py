"""What an event loop leaves to threads, and what becomes of it when its task is cancelled.

Owns the threads. Rows of many steps go on to their end; what nobody gets is undone.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from layerstore.api.store import LayerStore
from layerstore.images.registry.stop import Stop

T = TypeVar("T")
log = logging.getLogger("layerstore")


class InThread(ABC):
    """Something that has a blocking store, and threads to use it in."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(thread_name_prefix="layerstore-steps")
        # Theirs, so that what is quick doesn't wait until a slow network has been waited for.
        self._asking = ThreadPoolExecutor(thread_name_prefix="layerstore-asking")

    @property
    @abstractmethod
    def blocking(self) -> LayerStore:
        """The LayerStore behind it. ValueError before it is opened."""

    async def in_thread(self, do: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Do what blocks in a thread. If the task is cancelled, what comes of it is undone."""
        self.blocking.core.check_open()
        doing = self._threads.submit(do)
        waiting = asyncio.wrap_future(doing)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.add_done_callback(_note)
            if undo is not None:
                doing.add_done_callback(lambda done: undo_done(done, undo))
            raise

    async def until_stopped(self, do: Callable[[Stop], T]) -> T:
        """Do in a thread what can be stopped. If the task is cancelled, it ends before that."""
        self.blocking.core.check_open()
        stop = Stop()
        doing = self._asking.submit(do, stop)
        waiting = asyncio.wrap_future(doing)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.add_done_callback(_note)
            stop.tell()
            if not doing.cancel():  # it has begun
                await asyncio.wait([waiting])
            raise

    def end_threads(self) -> None:
        """Have the threads end once they have nothing more to do."""
        self._threads.shutdown(wait=False)
        self._asking.shutdown(wait=False)


def undo_done(done: Future[T], undo: Callable[[T], object]) -> None:
    """Undo what a future brought, if it brought something."""
    if done.exception() is None:
        undo(done.result())


def _note(done: asyncio.Future[T]) -> None:
    """Note how that ended which nobody waits for any more."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.info("what a cancelled task had begun failed: %s", error)
