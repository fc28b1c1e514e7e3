"""The Supervisor: the actor that has the others made anew when one of them dies.

Owns the decision when to rebuild, and nothing else: reading the disk and launching actors are given
to it as a function. Like a worker it may wait. Whoever asks it is answered once what died before
the question is made anew.
"""

from __future__ import annotations

from collections.abc import Callable

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper, log
from layerstore.actors.runtime.calls import mark_worker_thread
from layerstore.actors.runtime.ref import Identity


class Supervisor(BookKeeper):
    """Rebuilds once for each generation of actors, however many of it die."""

    def __init__(
        self,
        identity: Identity,
        *,
        rebuild: Callable[[], None],
        abandon: Callable[[m.Abandon], None],
    ) -> None:
        super().__init__(identity)
        self._rebuild = rebuild
        self._abandon = abandon
        self._generation = 0

    def on_start(self) -> None:
        """Mark the thread, so that nothing in it waits for an actor."""
        super().on_start()
        mark_worker_thread()

    def told(self, message: m.Message) -> None:
        """Rebuild, unless that was done since; undo what was asked of those who died."""
        match message:
            case m.Died():
                self._died(message)
            case m.Abandon():
                self._abandon(message)
            case _:
                super().told(message)

    def asked(self, message: m.Message) -> object:
        """Answer that all that died before is made anew."""
        if isinstance(message, m.Restore):
            return None
        return super().asked(message)

    def _died(self, message: m.Died) -> None:
        if message.generation != self._generation:
            return
        self._generation += 1
        log.error("%s died; the actors are made anew from the disk", message.actor)
        # Where that fails the store stays without actors, and every call says that it is closed.
        self._rebuild()
