"""Waiting for others, and having others wait, without sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from layerstore import LayerStoreError


def wait_until(met: Callable[[], bool]) -> None:
    """Look until a condition is met, for a minute at most."""
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline


def in_thread(act: Callable[[], object], outcomes: list[object]) -> threading.Thread:
    """Make a call in a new thread, which adds what it returns, or its error, to the outcomes."""

    def run() -> None:
        try:
            outcomes.append(act())
        except LayerStoreError as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class Held:
    """A function that waits, once it is called, until it is let go."""

    def __init__(self, then: Callable[..., object] = lambda *_: None) -> None:
        """Make one that does `then` after that."""
        self._then = then
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.inside.set()
        assert self.go_on.wait(60)
        return self._then(*arguments)


def held(owner: object, method: str) -> Held:
    """Have an object's method wait, once it is called, until it is let go."""
    waits = Held(getattr(owner, method))
    setattr(owner, method, waits)
    return waits
