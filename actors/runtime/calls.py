"""The one place that waits for an actor's answer.

A `Call` is for threads outside the actors; nothing inside an actor ever makes one.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pykka

from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Latch
from layerstore.actors.runtime.message import Message
from layerstore.actors.runtime.ref import Address
from layerstore.drivers.errors import CallTimeout, InternalError, InvalidArgument

# An ask that races with an actor's stop may never be answered (measured with Pykka 4.5), so a
# waiting thread looks up this often, in seconds, whether the actor is still there.
_LOOK_UP = 1.0
_LONGEST = 1e9

_inside = threading.local()


def mark_worker_thread() -> None:
    """Say that the calling thread is a worker's, which must never wait for an actor."""
    _inside.worker = True


def check_may_wait(message: Message) -> None:
    """Raise InternalError where the calling thread is a worker's."""
    if getattr(_inside, "worker", False):
        raise InternalError(
            type(message).__name__, "an init function called the store that waits for it"
        )


def deadline_of(timeout: float | None) -> float | None:
    """Return when a timeout, in seconds from now, is over by the monotonic clock; None for None.

    Raises InvalidArgument for one that can't be waited for.
    """
    if timeout is None:
        return None
    if not -_LONGEST <= timeout <= _LONGEST:
        raise InvalidArgument(repr(timeout), "a timeout is a number of seconds, or None")
    return time.monotonic() + timeout


class Call:
    """One request on its way.

    `timeout` in seconds counts from when it was made, unless there is a `deadline` in seconds of
    the monotonic clock.
    """

    def __init__(
        self,
        ref: Address,
        message: Message,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> None:
        check_may_wait(message)
        self._ref = ref
        self._operation = type(message).__name__
        self._timeout = timeout
        self._deadline = deadline if deadline is not None else deadline_of(timeout)
        self._future = ref.ask(message)

    def accepted(self) -> None:
        """Wait until the actor has taken the request; raises what it refused it with."""
        taken = Latch()
        self._future.when_taken(taken.let)
        self._await(taken)
        if not self._future.is_taken:
            self._answer()

    def result(self) -> Any:
        """Wait for the answer and return it.

        Raises the error that the actor answered with, CallTimeout, or StoreRestarted or StoreClosed
        where the actor has stopped.
        """
        if not self._future.is_set:
            there = Latch()
            self._future.when_set(there.let)
            self._await(there)
        return self._answer()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline, never below zero; None where there is none."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def _answer(self) -> Any:
        try:
            answer = self._future.get(timeout=0)
        except pykka.ActorDeadError as error:
            raise self._ref.lost() from error
        if isinstance(answer, Refused):
            raise answer.error
        return answer

    def _await(self, there: Latch) -> None:
        stopped = False
        while True:
            left = self.seconds_left
            if there.wait(_LOOK_UP if left is None else min(_LOOK_UP, left)):
                return
            if self._timeout is not None and not self.seconds_left:
                raise CallTimeout(self._operation, self._timeout)
            # Dead for one whole look-up: the actor has failed its promises by now, so an answer
            # that still isn't there was lost.
            if stopped:
                raise self._ref.lost()
            stopped = not self._ref.alive


def call(ref: Address, message: Message, timeout: float | None = None) -> Any:
    """Ask, wait for the answer or for what it promises, and return it; see Call."""
    return Call(ref, message, timeout).result()
