"""Answers of a store that are still to come, for whoever must not wait for them.

Owns one request from being asked to being answered, through promises and through actors that are
made anew meanwhile. All that happens here happens in an actor's thread, so it is quick and never
waits.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, Self, TypeVar

import pykka

from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.message import Message
from layerstore.actors.runtime.ref import Address, close_descriptors
from layerstore.asking.outcome import Outcome
from layerstore.asking.requests import Request
from layerstore.drivers.errors import JobCancelled, LayerStoreError, StoreRestarted

T = TypeVar("T")

_ATTEMPTS = 3


class Answering(Protocol):
    """An open store, as far as a request needs it."""

    def check_open(self) -> None:
        """Raise StoreClosed where the store can't be used."""

    def actor(self, name: str) -> Address:
        """Return the actor of now that has a name."""

    def restoring(self) -> Notifying[Any] | None:
        """Return a future of when actors that have died are made anew, if some have."""

    def abandon(self, ref: Address, message: Message) -> None:
        """Have undone what `ref` was asked for."""

    def forget(self, later: Later[Any]) -> None:
        """Take note that a request is over."""


class Later(Notifying[T]):
    """A Pykka future of a store's answer.

    `get(timeout=...)` waits, for threads that may; it raises what the blocking call of the same
    name raises, and pykka.Timeout. `tell` has the outcome sent to an actor. Whoever wants it no
    more calls `abandon`.
    """

    def __init__(self, store: Answering, request: Request[T]) -> None:
        super().__init__()
        self._store = store
        self._request = request
        self._attempts = _ATTEMPTS if request.message.repeatable else 1
        self._ref: Address | None = None
        self._right_to_answer = deque((None,))

    def tell(self, actor: pykka.ActorRef[Any], tag: object = None) -> Self:
        """Have an Outcome with this tag told to an actor once there is one; returns itself."""
        self.when_set(lambda future: _pass_on(future, actor, tag))
        return self

    def abandon(self) -> None:
        """Give up: what was begun is undone, and a reference that came all the same is let go.

        Whoever still waits gets JobCancelled. What has no reference (a mount, a release) may have
        been done. Idempotent.
        """
        self._finish(error=JobCancelled(self.operation))
        if self._ref is not None:
            self._store.abandon(self._ref, self._request.message)

    def undo(self) -> None:
        """Have undone what was begun, and let go a reference that comes all the same.

        Whoever waits hears of it once that is so, as far as this process can know.
        """
        if self._ref is None:
            self.abandon()
        else:
            self._store.abandon(self._ref, self._request.message)

    @property
    def over(self) -> bool:
        """Whether there is an answer, or nobody wants one any more."""
        return not self._right_to_answer

    @property
    def operation(self) -> str:
        """What was asked for, as errors and traces call it."""
        return type(self._request.message).__name__

    # Following the request

    def begin(self) -> Self:
        """Ask, once actors that have died are made anew; returns itself."""
        restoring = self._store.restoring()
        if restoring is None:
            self._ask()
        else:
            restoring.when_set(lambda _: self._ask())
        return self

    def look_up(self) -> None:
        """Give up on an actor that has ended: an ask that raced with that is never answered."""
        if self._ref is not None and self._ref.ended:
            self._failed(self._ref.lost())

    def closed(self) -> None:
        """Give up where the store is closed: nobody looks after what comes later than that."""
        try:
            self._store.check_open()
        except LayerStoreError as error:
            self._failed(error)

    def promised(self) -> None:
        """Take note that the actor has taken the request, and answers later."""

    def _ask(self) -> None:
        if self.over:
            return
        try:
            self._store.check_open()
        except LayerStoreError as error:
            self._failed(error)
            return
        self._attempts -= 1
        self._ref = self._store.actor(self._request.actor)
        asked = self._ref.ask(self._request.message)
        asked.when_taken(self._was_taken)
        asked.when_set(self._heard)

    def _was_taken(self, asked: Notifying[Any]) -> None:
        if asked.is_taken:
            self.promised()

    def _heard(self, future: Notifying[Any]) -> None:
        try:
            answer = future.get(timeout=0)
        except pykka.ActorDeadError:
            if self._ref is not None:
                self._failed(self._ref.lost())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            self._failed(error)
        else:
            if isinstance(answer, Refused):
                self._failed(answer.error)
            else:
                self._finish(value=self._request.take(answer))

    def _failed(self, error: Exception) -> None:
        if isinstance(error, StoreRestarted):
            if self._attempts:
                self.begin()
                return
            if self._ref is not None:
                self._store.abandon(self._ref, self._request.message)
        close_descriptors(self._request.message)
        self._finish(error=error)

    def _finish(self, *, value: Any = None, error: Exception | None = None) -> None:
        # Whoever gives up and the actor that answers may come here at once: one of them is first.
        try:
            self._right_to_answer.pop()
        except IndexError:
            return
        self._store.forget(self)
        if error is None:
            self.set(value)
        else:
            self.set_exception((type(error), error, None))


def _pass_on(future: Later[Any], actor: pykka.ActorRef[Any], tag: object) -> None:
    try:
        outcome = Outcome(tag, value=future.get(timeout=0))
    except LayerStoreError as error:
        outcome = Outcome(tag, error=error)
    actor.tell(outcome)
