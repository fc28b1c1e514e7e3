"""Where to send an actor's messages, and who looks after it.

Owns an actor's name, its tracer and its threads, as those see them who hold a reference to it. It
handles nothing; what an actor does with its messages is base's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import pykka
from msgspec import Struct, field
from pykka._envelope import Envelope as Letter

from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.mailbox import Mailbox
from layerstore.actors.runtime.message import Message
from layerstore.actors.watching.trace import CALLER, Envelope, Tracer
from layerstore.actors.watching.waiting import Glance
from layerstore.drivers.errors import LayerStoreError, StoreClosed

log = logging.getLogger("layerstore")


class Watch(Protocol):
    """Whoever looks after actors: told of each that is launched and of each that is lost."""

    def launched(self, ref: Ref) -> None:
        """Take note of an actor, before anybody else knows of it."""

    def lost(self, name: str) -> LayerStoreError:
        """Take note that an actor is gone; returns what those who wait for it are told."""


class Unwatched:
    """The watch of an actor that nobody makes anew; `store` is the root of its store."""

    def __init__(self, store: str) -> None:
        self._store = store

    def launched(self, ref: Ref) -> None:
        """See Watch."""

    def lost(self, name: str) -> LayerStoreError:
        """See Watch."""
        log.debug("%s is gone", name)
        return StoreClosed(self._store)


class Keeper(Protocol):
    """The actor itself, as those see it who may only look."""

    def look(self) -> Glance:
        """Return what is before it."""

    def discard_mail(self) -> None:
        """Close the descriptors in what it was told and never gets to."""


class Identity(Struct):
    """What an actor is called, who traces and watches it, and (once it has started) its thread."""

    name: str
    tracer: Tracer
    watch: Watch
    threads: list[threading.Thread] = field(default_factory=list)
    dismissed: bool = False
    """Whoever launched it has it stop, so it isn't lost when it does."""
    keepers: list[Keeper] = field(default_factory=list)
    """The actor itself, to be looked at."""


class Address(Protocol):
    """An actor to be asked, wherever it lives."""

    @property
    def name(self) -> str:
        """The actor's name."""

    @property
    def alive(self) -> bool:
        """Whether the actor has not stopped."""

    @property
    def ended(self) -> bool:
        """Whether nothing that it was asked for goes on any more."""

    def ask(self, message: Message, sender: str = "caller") -> Notifying[Any]:
        """Send a public request; the future holds the answer once there is one."""

    def lost(self) -> LayerStoreError:
        """Return the error to raise where the actor has stopped."""


class Ref:
    """Where to send messages for one actor, under the name that traces show."""

    __slots__ = ("_actor", "_identity", "_inbox", "_stopped")

    def __init__(self, actor: pykka.ActorRef[Any], identity: Identity) -> None:
        self._actor = actor
        self._inbox: Mailbox = actor.actor_inbox  # type: ignore[assignment] # as BookKeeper has it
        self._identity = identity
        self._stopped = actor.actor_stopped

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._identity.name

    def tell(self, message: Message, cause: Envelope | None, sender: str) -> None:
        """Send without an answer; what is told to a stopped actor is dropped."""
        if self._stopped.is_set():
            log.debug("%s is stopped; %s from %s dropped", self.name, message, sender)
            close_descriptors(message)
        else:
            self._inbox.put(self._letter(message, cause, sender))

    def _letter(
        self,
        message: Message,
        cause: Envelope | None,
        sender: str,
        reply_to: Notifying[Any] | None = None,
    ) -> Letter[Any]:
        """Make a letter, in an envelope where the actor is traced."""
        tracer = self._identity.tracer
        if tracer.on:
            return Letter(tracer.wrap(message, cause, sender, self._identity.name), reply_to)
        return Letter(message, reply_to)

    def tell_all(self, messages: Sequence[tuple[Message, Envelope | None]], sender: str) -> None:
        """Tell several at once, each with its cause, to be handled in one turn."""
        if self._stopped.is_set():
            count = len(messages)
            log.debug("%s is stopped; %d messages from %s dropped", self.name, count, sender)
        else:
            letter = self._letter
            self._inbox.put_all([letter(message, cause, sender) for message, cause in messages])

    def tell_unheard(
        self, leave: deque[bool], message: Message, instead: deque[bool] | None = None
    ) -> bool:
        """Send a caller's request whose answer is known, where there is leave; whether there was.

        Leave that is taken goes to `instead`.
        """
        if self._stopped.is_set():
            return False
        return self._inbox.put_if(leave, self._letter(message, None, CALLER), instead)

    def rouse(self, message: Message) -> None:
        """Tell what is no part of any request, and so not traced."""
        if not self._stopped.is_set():
            self._inbox.put(Letter(message))

    def ask(self, message: Message, sender: str = "caller") -> Notifying[Any]:
        """Send a public request; the future holds the answer once there is one."""
        future: Notifying[Any] = Notifying()
        if self._stopped.is_set():
            dead = pykka.ActorDeadError(f"{self.name} is stopped")
            future.set_exception((type(dead), dead, None))
        else:
            self._inbox.put(self._letter(message, None, sender, future))
        return future

    def lost(self) -> LayerStoreError:
        """Tell the watch that the actor is gone; returns the error to raise for it."""
        return self._identity.watch.lost(self.name)

    def look(self) -> Glance | None:
        """Return what the actor has before it; None where it has none yet, or has stopped."""
        return next((keeper.look() for keeper in self._identity.keepers if self.alive), None)

    @property
    def thread(self) -> int | None:
        """Identifier of the actor's thread."""
        return next((thread.ident for thread in self._identity.threads), None)

    @property
    def alive(self) -> bool:
        """Whether the actor has not stopped."""
        return self._actor.is_alive()

    @property
    def ended(self) -> bool:
        """Whether the actor has stopped and its thread has ended."""
        return not self.alive and not any(thread.is_alive() for thread in self._identity.threads)

    def stop(self) -> None:
        """Ask the actor to stop after what is in its mailbox, without waiting."""
        self._identity.dismissed = True
        self._actor.stop(block=False)

    def discard_mail(self) -> None:
        """See Keeper; of an actor whose thread has ended."""
        for keeper in self._identity.keepers:
            keeper.discard_mail()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the actor's thread to end; whether it has."""
        deadline = time.monotonic() + timeout
        # A thread that is only just starting isn't known before it is stopped.
        self._actor.actor_stopped.wait(timeout)
        for thread in self._identity.threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return self.ended


def close_descriptors(message: object) -> None:
    """Close what a message brings that nobody will handle; other messages bring none."""
    for descriptor in getattr(message, "descriptors", ()):
        descriptor.close()
