"""A driver worker: the actor that does jobs with its hands and tells what became of them.

Owns one pair of hands, and with them at most one child process. It is the one kind of actor that
waits: for the disk, or for its child.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from layerstore.actors import messages as m
from layerstore.actors.base import BookKeeper, Identity, Ref, log
from layerstore.actors.calls import mark_worker_thread
from layerstore.drivers import work
from layerstore.drivers.errors import InternalError, LayerStoreError


class DriverWorker(BookKeeper):
    """Does what the pool hands it, one job after another."""

    def __init__(
        self, identity: Identity, *, make_hands: Callable[[], work.Hands], pool: Ref
    ) -> None:
        super().__init__(identity)
        self._hands = make_hands()
        self._pool = pool

    def on_start(self) -> None:
        """Mark the thread, so that nothing in it waits for an actor."""
        super().on_start()
        mark_worker_thread()

    def told(self, message: m.Message) -> None:
        """Do the jobs of a Run, or spawn the child ahead of the first."""
        match message:
            case m.Run():
                for submit in message.submits:
                    self._do(submit)
                self.send(self._pool, m.Finished(worker=self.name))
            case m.WarmUp():
                self._warm_up()
            case _:
                super().told(message)

    def _do(self, submit: m.Submit) -> None:
        kind = type(submit.job).__name__
        try:
            value = self._hands.perform(submit.job, submit.descriptors)
        except LayerStoreError as error:
            done = m.Done(token=submit.token, kind=kind, error=error)
        except Exception as error:  # noqa: BLE001 - the asker must hear of it
            log.exception("%s failed at %s", self.name, submit.summary())
            done = m.Done(token=submit.token, kind=kind, error=InternalError(kind, repr(error)))
        else:
            done = m.Done(token=submit.token, kind=kind, value=value)
        self.send(submit.reply_to, done)

    def _warm_up(self) -> None:
        try:
            self._hands.warm_up()
        except LayerStoreError as error:
            # The job that needs the child will meet the same error and tell its caller.
            log.warning("%s could not start its child ahead of time: %s", self.name, error)

    def on_stop(self) -> None:
        """End the child."""
        self._hands.close()
        super().on_stop()


class Reaper(BookKeeper):
    """Empties the trash in the background, with hands of its own that run at low priority."""

    def __init__(self, identity: Identity, *, make_hands: Callable[[], work.Hands]) -> None:
        super().__init__(identity)
        self._hands = make_hands()
        self._swept_at = 0

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
            self._hands.perform(work.SweepTrash(), ())
        except LayerStoreError as error:
            # It stays in the trash for the next sweep; whoever drains is told.
            log.warning("the trash could not be emptied: %s", error)

    def asked(self, message: m.Message) -> object:
        """Delete what lies in the trash and answer how many entries that were."""
        if isinstance(message, m.Drain):
            return self._hands.perform(work.SweepTrash(), ())
        return super().asked(message)

    def on_stop(self) -> None:
        """End the child."""
        self._hands.close()
        super().on_stop()
