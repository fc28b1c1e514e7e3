"""Futures that tell when they are set.

A Pykka future can only be waited for. These call back, in the thread that sets them, so that
whoever must not wait (an event loop, an actor) hears of an answer. What is called back must do
no more than pass that on: the thread is an actor's. Nor do they wait with a condition, as Pykka's
do: who is woken by one needs its mutex again, which whoever wakes still holds.
"""

from __future__ import annotations

import logging
import queue
import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

import pykka

T = TypeVar("T")

log = logging.getLogger("layerstore")

Callback = Callable[[Any], None]
_Result = tuple[Any, BaseException | None, TracebackType | None]


class Latch:
    """Something that happens once, for any number of threads to wait for."""

    __slots__ = ("_bell",)

    def __init__(self) -> None:
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def open(self) -> None:
        """Let through all who wait, or will; to be called once."""
        self._bell.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds, without end if None; returns whether it is open."""
        try:
            self._bell.get(timeout=None if timeout is None else max(timeout, 0.0))
        except queue.Empty:
            return False
        self._bell.put(None)  # for the next
        return True


class Notifying(pykka.Future[T]):
    """A future with callbacks; each is called once, with the future. One thread sets it."""

    def __init__(self) -> None:
        super().__init__()
        self._to_call: deque[Callback] = deque()
        self._set = Latch()
        self._result: _Result | None = None

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the answer, at most `timeout` seconds, and return it; see pykka.Future.get."""
        if self._get_hook is not None:  # of one that map, join or their like have made
            return super().get(timeout=timeout)
        if self._result is None and not self._set.wait(timeout):
            raise pykka.Timeout(f"{timeout} seconds")
        value, error, traceback = cast("_Result", self._result)
        if error is not None:
            raise error.with_traceback(traceback)  # not longer by one line each time
        answer: T = value
        return answer

    @property
    def promise(self) -> Notifying[Any] | None:
        """The future that it was answered with, where it is set and was."""
        value = self._result[0] if self._result is not None else None
        return value if isinstance(value, Notifying) else None

    def set(self, value: Any = None) -> None:
        """Give the answer, as pykka.Future.set."""
        self._give((value, None, None))

    def set_exception(self, exc_info: Any = None) -> None:
        """Give an error, as pykka.Future.set_exception."""
        _, error, traceback = exc_info or sys.exc_info()
        self._give((None, error, traceback))

    def _give(self, result: _Result) -> None:
        if self._result is not None:
            raise queue.Full  # what Pykka's futures raise
        self._result = result
        self._set.open()
        self._call_back()

    def when_set(self, callback: Callback) -> None:
        """Have `callback` called once the future is set, at once if it is."""
        self._to_call.append(callback)
        if self._result is not None:
            self._call_back()

    def _call_back(self) -> None:
        # Both who sets and who adds may come here at once: each callback goes to one of them.
        while True:
            try:
                callback = self._to_call.popleft()
            except IndexError:
                return
            try:
                callback(self)
            except Exception:
                log.exception("a callback of %r failed", self)
