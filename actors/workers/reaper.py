"""The Reaper: the actor that empties the trash in the background.

Owns one pair of hands, which nobody else has work for. Like a driver worker it waits for the disk,
or for its child; so whoever asks for an empty trash has the hands hurry, whatever they are at.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec import structs
from pykka._envelope import Envelope as Letter

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper, log
from layerstore.actors.runtime.calls import mark_worker_thread
from layerstore.actors.runtime.mailbox import Mailbox
from layerstore.actors.runtime.ref import Identity
from layerstore.actors.watching.trace import Envelope
from layerstore.actors.watching.waiting import Glance
from layerstore.actors.workers.worker import keep_job_of
from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, LayerStoreError


class _Inbox(Mailbox):
    """The reaper's mailbox, which tells of a Drain at once, in the thread of whoever asks."""

    def __init__(self) -> None:
        super().__init__()
        self.hurry: Callable[[], None] | None = None
        self.drains: deque[None] = deque()
        """One for each Drain that came and isn't answered."""

    def put(self, envelope: Letter[Any], /) -> None:
        """Add a letter; never waits."""
        message = envelope.message
        content = message.content if isinstance(message, Envelope) else message
        if not isinstance(content, m.Drain):
            super().put(envelope)
            return
        self.drains.append(None)
        super().put(envelope)
        if self.hurry is not None:
            self.hurry()


class Reaper(BookKeeper):
    """Empties the trash in the background, with hands of its own that give way to all others."""

    actor_inbox: _Inbox

    def __init__(
        self,
        identity: Identity,
        *,
        make_hands: Callable[[Callable[[], bool]], work.SweepHands],
    ) -> None:
        """Get hands that are told by a function whether somebody waits for what they do."""
        super().__init__(identity)
        drains = self.actor_inbox.drains
        self._hands = make_hands(lambda: bool(drains))
        self.actor_inbox.hurry = self._hands.hurry
        self._swept_at = 0

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return _Inbox()

    def on_start(self) -> None:
        """Mark the thread, so that nothing in it waits for an actor."""
        super().on_start()
        mark_worker_thread()

    def told(self, message: m.Message) -> None:
        """Delete what lies in the trash."""
        if not isinstance(message, m.Sweep):
            super().told(message)
            return
        if message.at < self._swept_at:
            return  # a sweep that began later has seen to it
        self._swept_at = time.monotonic_ns()
        try:
            self._sweep()
        except JobCancelled:
            log.debug("the trash is left to others")
        except LayerStoreError as error:
            # It stays in the trash for the next sweep; whoever drains is told.
            log.warning("the trash could not be emptied: %s", error)

    def asked(self, message: m.Message) -> object:
        """Delete what lies in the trash and answer how many entries that were."""
        if isinstance(message, m.Drain):
            try:
                return self._sweep()
            finally:
                self.actor_inbox.drains.pop()
        return super().asked(message)

    def look(self) -> Glance:
        """Return what is before the reaper: the sweep it is at, too."""
        return structs.replace(super().look(), doing=self._doing, child=self._hands.child_pid)

    def _sweep(self) -> work.Outcome:
        sweep = work.SweepTrash()
        job = self._doing = self._tracer.begin(sweep, self._handling, self.name)
        error: LayerStoreError | None = None
        try:
            return self._hands.perform(sweep, ())
        except LayerStoreError as caught:
            error = caught
            raise
        finally:
            self._doing = None
            keep_job_of(self._tracer, job, self._hands, error)

    def on_stop(self) -> None:
        """End the child."""
        self._hands.close()
        super().on_stop()
