"""An actor's inbox that can be looked into.

Pykka's own is a queue.Queue, whose getter needs the queue's mutex again once it is woken, while the
one that woke it may still hold that: with a hundred threads that ask, two switches instead of one.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from operator import is_
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
        self._bell.put(None)  # after it is there

    def put_all(self, envelopes: Sequence[Envelope[Any]]) -> None:
        """Add letters that are handled in one turn; never waits."""
        self._letters.extend(envelopes)
        self._bell.put(None)

    def put_if(
        self, leave: deque[bool], envelope: Envelope[Any], instead: deque[bool] | None = None
    ) -> bool:
        """Add a letter where there is leave for it, which is taken; whether there was.

        It goes to `instead`, if there is one: leave for something else.
        """
        taken: Iterator[bool] = iter(leave.pop, None)
        if instead is not None:
            taken = map(is_, map(instead.append, taken), repeat(None))
        try:
            # One step of the interpreter: neither another thread nor an interrupt comes between.
            self._letters.extend(compress((envelope,), taken))
        except IndexError:
            return False
        self._bell.put(None)
        return True

    def get(self) -> Envelope[Any]:
        """Wait for a letter and take it out."""
        while not self._letters:
            # It may have rung for what was taken out before; and (where whoever put a letter in was
            # interrupted) it may not have for all that is there.
            self._bell.get()
        return self._letters.popleft()

    def empty(self) -> bool:
        """Whether there is no letter."""
        return not self._letters

    def letters(self) -> tuple[Envelope[Any], ...]:
        """Return what lies there at this moment, from any thread."""
        return tuple(self._letters.copy())
