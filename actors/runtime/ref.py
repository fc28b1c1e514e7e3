"""Where to send an actor's messages, and who looks after it.

Owns an actor's name, its tracer and its threads, as those see them who hold a reference to it. It
handles nothing; what an actor does with its messages is base's.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Protocol

import pykka
from msgspec import Struct, field

from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.message import Message
from layerstore.actors.watching.trace import Envelope, Tracer
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
        """Send a public request; the future holds the answer, or a promise of it."""

    def lost(self) -> LayerStoreError:
        """Return the error to raise where the actor has stopped."""


class Ref:
    """Where to send messages for one actor, under the name that traces show."""

    __slots__ = ("_actor", "_identity")

    def __init__(self, actor: pykka.ActorRef[Any], identity: Identity) -> None:
        self._actor = actor
        self._identity = identity

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._identity.name

    def tell(self, message: Message, cause: Envelope | None, sender: str) -> None:
        """Send without an answer; what is told to a stopped actor is dropped."""
        tracer = self._identity.tracer
        try:
            if tracer.on:
                self._actor.tell(tracer.wrap(message, cause, sender, self._identity.name))
            else:
                self._actor.tell(message)
        except pykka.ActorDeadError:
            log.debug("%s is stopped; %s from %s dropped", self.name, message, sender)
            close_descriptors(message)

    def ask(self, message: Message, sender: str = "caller") -> Notifying[Any]:
        """Send a public request; the future holds the answer, or a promise of it."""
        tracer = self._identity.tracer
        if tracer.on:
            envelope = tracer.wrap(message, None, sender, self.name)
            return self._asked(envelope)
        return self._asked(message)

    def _asked(self, message: object) -> Notifying[Any]:
        future = self._actor.ask(message, block=False)
        assert isinstance(future, Notifying)  # noqa: S101 - BookKeeper makes no other
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
