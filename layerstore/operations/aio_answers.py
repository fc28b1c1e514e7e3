"""Waiting in an event loop for what a store answers.

Owns what becomes of a request whose task is cancelled: it is abandoned, and the store undoes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeVar

from layerstore.actors.runtime.calls import deadline_of
from layerstore.asking.core import Core
from layerstore.asking.later import Later
from layerstore.asking.requests import HandIn
from layerstore.asking.source import Pump
from layerstore.drivers.errors import CallerError, CallTimeout, LayerStoreError

T = TypeVar("T")


async def answer_of(later: Later[T], timeout: float | None = None) -> T:
    """Wait for an answer and return it; whoever is cancelled or out of time has it undone.

    `timeout` is in seconds. Raises what the store answers with, and CallTimeout.
    """
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def tell(_: Later[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits in it
            loop.call_soon_threadsafe(arrived.set)

    later.when_set(tell)
    try:
        deadline_of(timeout)  # refuses what is none
        async with asyncio.timeout(timeout):
            await arrived.wait()
    except TimeoutError as error:
        later.abandon()
        raise CallTimeout(later.operation, timeout or 0.0) from error
    except BaseException:
        later.abandon()
        raise
    answer: T = later.get(timeout=0)
    return answer


async def hand_in(core: Core, request: HandIn[T], timeout: float | None = None) -> T:
    """Have a tar taken in, as Core.hand_in; one that only this process can read is in a thread."""
    later, pump = core.begin_pumping(request)
    if pump is None:
        return await answer_of(later, timeout)
    pumping = asyncio.create_task(asyncio.to_thread(_pump, pump, later))
    try:
        return await answer_of(later, timeout)
    except LayerStoreError as error:
        # A source that failed says more than the tar that ended too soon on its account.
        if not isinstance(error, CallTimeout):
            await pumping
        raise
    finally:
        # The pipe has lost its reader: the pump ends as soon as the source's `read` returns.
        pumping.add_done_callback(_forget)


def _pump(pump: Pump, later: Later[T]) -> None:
    try:
        pump.run(lambda: 0.0 if later.over else None)
    except CallerError:
        later.abandon()
        raise


def _forget(pumping: asyncio.Task[None]) -> None:
    if not pumping.cancelled():
        pumping.exception()
