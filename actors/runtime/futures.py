"""Futures that tell when they are set.

A Pykka future can only be waited for. These call back, in the thread that sets them, so that
whoever must not wait (an event loop, an actor) hears of an answer. What is called back must do
no more than pass that on: the thread is an actor's. Nor do they wait with a condition, as Pykka's
do: who is woken by one needs its mutex again, which whoever wakes still holds.
"""

from __future__ import annotations

import contextlib
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

    def let(self, _of: object) -> None:
        """Open; to be called back with what has happened."""
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
    """A future with callbacks; each is called once, with the future. One thread sets it.

    An actor that is asked may take a request first, and answer it later.
    """

    def __init__(self) -> None:
        super().__init__()
        self._to_call: deque[Callback] = deque()
        self._to_tell: deque[Callback] | None = None
        self.is_taken = False
        """The request isn't refused, whatever became of it."""
        self._result: _Result | None = None

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the answer, at most `timeout` seconds, and return it; see pykka.Future.get."""
        if self._get_hook is not None:  # of one that map, join or their like have made
            return super().get(timeout=timeout)
        if self._result is None:
            self._wait(timeout)
        value, error, traceback = cast("_Result", self._result)
        if error is not None:
            raise error.with_traceback(traceback)  # not longer by one line each time
        answer: T = value
        return answer

    def _wait(self, timeout: float | None) -> None:
        there = Latch()
        self.when_set(there.let)
        if not there.wait(timeout):
            with contextlib.suppress(ValueError):  # else it has just been called
                self._to_call.remove(there.let)
            raise pykka.Timeout(f"{timeout} seconds")

    @property
    def is_set(self) -> bool:
        """Whether there is an answer."""
        return self._result is not None

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
        if self._to_tell is not None:
            self._call_back(self._to_tell)
        self._call_back(self._to_call)

    def when_set(self, callback: Callback) -> None:
        """Have `callback` called once the future is set, at once if it is."""
        self._to_call.append(callback)
        if self._result is not None:
            self._call_back(self._to_call)

    def take(self) -> None:
        """Say that the request is taken, and answered later."""
        self.is_taken = True
        if self._to_tell is not None:
            self._call_back(self._to_tell)

    def when_taken(self, callback: Callback) -> None:
        """Have `callback` called once the request is taken or answered, at once if it is."""
        self._to_tell = to_tell = deque((callback,))
        if self.is_taken or self._result is not None:
            self._call_back(to_tell)

    def _call_back(self, callbacks: deque[Callback]) -> None:
        # Both who sets and who adds may come here at once: each callback goes to one of them.
        while True:
            try:
                callback = callbacks.popleft()
            except IndexError:
                return
            try:
                callback(self)
            except Exception:
                log.exception("a callback of %r failed", self)
