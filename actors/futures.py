"""Futures that tell when they are set.

A Pykka future can only be waited for. These call back, in the thread that sets them, so that
whoever must not wait (an event loop, an actor) hears of an answer. What is called back must do
no more than pass that on: the thread is an actor's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import pykka

T = TypeVar("T")

log = logging.getLogger("layerstore")

Callback = Callable[[Any], None]


class Notifying(pykka.ThreadingFuture[T]):
    """A future with callbacks; each is called once, with the future."""

    def __init__(self) -> None:
        super().__init__()
        self._to_call: deque[Callback] = deque()
        self._is_set = False

    def set(self, value: Any = None) -> None:
        """Give the answer, as pykka.Future.set."""
        super().set(value)
        self._is_set = True
        self._call_back()

    def set_exception(self, exc_info: Any = None) -> None:
        """Give an error, as pykka.Future.set_exception."""
        super().set_exception(exc_info)
        self._is_set = True
        self._call_back()

    def when_set(self, callback: Callback) -> None:
        """Have `callback` called once the future is set, at once if it is."""
        self._to_call.append(callback)
        if self._is_set:
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
