"""The watchdog: says in the log which request has no answer for long, and who waits for whom.

Owns a thread that looks now and then. It ends nothing and keeps nothing alive: who waits goes on
waiting, and closing a store ends it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from layerstore.actors.watching.waiting import Waiting, described
from layerstore.engine.stacks import stack_of

log = logging.getLogger("layerstore")

_LOOKS = 4


class Watchdog:
    """Looks every quarter of `after` seconds, and tells of each request once."""

    def __init__(self, look: Callable[[], Waiting], after: float) -> None:
        """Start looking; with `after` 0 there is nothing to do."""
        self._look = look
        self._after = after
        self._told: set[int] = set()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        if after > 0:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(self._after / _LOOKS):
            try:
                self._tell(self._look())
            except Exception:  # a watchdog that fails says so, and looks again
                log.exception("the watchdog could not look at the actors")

    def _tell(self, waiting: Waiting) -> None:
        late = [request for request in waiting.requests if request.seconds >= self._after]
        for request in late:
            if request.sequence not in self._told:
                lines = [*described(waiting, request), *_stacks(waiting)]
                log.warning("%s", "\n".join(lines))
        self._told = {request.sequence for request in late}


def _stacks(waiting: Waiting) -> Iterator[str]:
    """Give the stack of each actor's thread that is at something."""
    for actor in waiting.actors:
        if actor.handling or actor.doing:
            yield f"  the thread of {actor.name} is at"
            yield from stack_of(actor.thread)
