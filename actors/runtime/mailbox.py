"""An actor's inbox that can be looked into.

Pykka's own is a queue.Queue, whose getter needs the queue's mutex again once it is woken, while the
one that woke it may still hold that: with a hundred threads that ask, two switches instead of one.
"""

from __future__ import annotations

import queue
from collections import deque
from typing import Any

from pykka._envelope import Envelope


class Mailbox:
    """Letters in the order in which they came; see pykka.Actor.actor_inbox."""

    def __init__(self) -> None:
        self._letters: deque[Envelope[Any]] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a letter; never waits."""
        self._letters.append(envelope)
        self._bell.put(None)  # rung once for each letter, and after it is there

    def get(self) -> Envelope[Any]:
        """Wait for a letter and take it out."""
        self._bell.get()
        return self._letters.popleft()

    def empty(self) -> bool:
        """Whether there is no letter."""
        return not self._letters

    def letters(self) -> tuple[Envelope[Any], ...]:
        """Return what lies there at this moment, from any thread."""
        return tuple(self._letters.copy())
