"""A word that ends what is asked of registries at once, from any thread or from a signal.

Owns who is to be woken by it. It is told once and never taken back.
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from layerstore.drivers.errors import JobCancelled


class Stop:
    """What a thread that asks or waits goes by, and another one tells."""

    __slots__ = ("_actions", "_keys", "_told")

    def __init__(self) -> None:
        # Adding, removing and counting are each one step, of which no other thread sees a part.
        self._actions: dict[int, Callable[[], None]] = {}
        self._keys = itertools.count()
        self._told = False

    @property
    def told(self) -> bool:
        """Whether it was told."""
        return self._told

    def tell(self) -> None:
        """Have everybody end who reads or waits, now and from now on."""
        # In this order: who adds an action later than this looks at `_told` afterwards.
        self._told = True
        while self._actions:
            try:
                _, action = self._actions.popitem()
            except KeyError:  # who added the last one took it away
                break
            action()

    def check(self, what: str) -> None:
        """Raise JobCancelled for what is being done if it was told."""
        if self._told:
            raise JobCancelled(what)

    def add(self, action: Callable[[], None]) -> int:
        """Have an action done when it is told, or now if it was; returns what `remove` wants.

        Actions are short and raise nothing: they are done by whoever tells, be it a signal.
        """
        key = next(self._keys)
        self._actions[key] = action
        if self._told and self.remove(key):
            action()
        return key

    def remove(self, key: int) -> bool:
        """Take an action out; whether it was still there, and so isn't and won't be done."""
        return self._actions.pop(key, None) is not None

    @contextmanager
    def on(self, action: Callable[[], None]) -> Iterator[None]:
        """Have an action done if it is told within the block."""
        key = self.add(action)
        try:
            yield
        finally:
            self.remove(key)

    def wait(self, seconds: float, what: str) -> None:
        """Wait that long; raises JobCancelled for what waits as soon as it is told."""
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        with self.on(lambda: bell.put(None)), suppress(queue.Empty):
            bell.get(timeout=max(0.0, seconds))
        self.check(what)
