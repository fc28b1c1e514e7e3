"""The base of every actor here: sending, answering later, continuing when work is done.

Owns the futures that an actor has promised and the continuations of the work it has given away. A
handler never waits: it either answers at once or returns a promise that a later message fulfils.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pykka

from layerstore.actors.messages import Done, Message
from layerstore.actors.trace import Envelope, Tracer
from layerstore.drivers.errors import InternalError, LayerStoreError, StoreClosed

log = logging.getLogger("layerstore")

Promise = pykka.ThreadingFuture[Any]
Continuation = Callable[[Done], None]


@dataclass(frozen=True, slots=True)
class Identity:
    """What an actor is called, who traces it, and (once it has started) its thread."""

    name: str
    tracer: Tracer
    threads: list[threading.Thread] = field(default_factory=list)


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
                self._actor.tell(tracer.wrap(message, cause, sender, self.name))
            else:
                self._actor.tell(message)
        except pykka.ActorDeadError:
            log.debug("%s is stopped; %s from %s dropped", self.name, message, sender)

    def ask(self, message: Message, sender: str = "caller") -> pykka.Future[Any]:
        """Send a public request; the future holds the answer, or a promise of it."""
        tracer = self._identity.tracer
        if tracer.on:
            envelope = tracer.wrap(message, None, sender, self.name)
            return self._actor.ask(envelope, block=False)
        return self._actor.ask(message, block=False)

    @property
    def alive(self) -> bool:
        """Whether the actor has not stopped."""
        return self._actor.is_alive()

    def stop(self) -> None:
        """Ask the actor to stop after what is in its mailbox, without waiting."""
        self._actor.stop(block=False)

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the actor's thread to end; whether it has."""
        for thread in self._identity.threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._identity.threads)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request's answer that is an error; raising it would make Pykka log each as a failure."""

    error: LayerStoreError


class BookKeeper(pykka.ThreadingActor):
    """An actor that keeps promises; subclasses give `asked` and `told`."""

    # A store that its owner forgot to close must not keep the interpreter from ending.
    use_daemon_thread = True

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.name = identity.name
        self.ref = Ref(self.actor_ref, identity)
        self._tracer = identity.tracer
        self._threads = identity.threads
        self._handling: Envelope | None = None
        self._promises: set[Promise] = set()
        self._continuations: dict[int, Continuation] = {}
        self._tokens = count(1)
        self._closing: Promise | None = None
        self._closed = False

    @classmethod
    def launch(cls, name: str, tracer: Tracer, **books: Any) -> Ref:
        """Start the actor and return where to send its messages."""
        identity = Identity(name, tracer)
        return Ref(cls.start(identity, **books), identity)

    def on_start(self) -> None:
        """Remember the thread, for whoever waits for its end."""
        self._threads.append(threading.current_thread())

    def asked(self, message: Message) -> object:
        """Decide on a public request and return the answer or a promise of it."""
        raise TypeError(f"{self.name} was asked {message!r}")

    def told(self, message: Message) -> None:
        """Decide on a message that nobody waits for."""
        raise TypeError(f"{self.name} was told {message!r}")

    def on_receive(self, message: Any) -> object:
        """Unwrap, time and handle one message. Errors go to the asker, or to on_told_error."""
        if isinstance(message, Envelope):
            return self._traced(message)
        return self._handled(message)

    def _traced(self, envelope: Envelope) -> object:
        envelope.started = time.monotonic_ns()
        self._handling = envelope
        try:
            answer = self._handled(envelope.message)
        finally:
            self._handling = None
        outcome = "ok"
        if isinstance(answer, Refused):
            outcome = type(answer.error).__name__
        elif isinstance(answer, pykka.Future):
            outcome = "pending"
        self._tracer.keep(envelope, outcome)
        return answer

    def _handled(self, message: Message) -> object:
        try:
            if message.public:
                return self.asked(message)
            self.told(message)
        except Exception as error:  # noqa: BLE001 - an error must neither be lost nor end the actor
            for descriptor in getattr(message, "descriptors", ()):
                descriptor.close()
            if message.public:
                return Refused(self._own_error(message, error))
            self.on_told_error(self._own_error(message, error))
        return None

    def _own_error(self, message: Message, error: Exception) -> LayerStoreError:
        if isinstance(error, LayerStoreError):
            return error
        log.error("%s failed to handle %s", self.name, message, exc_info=error)
        return InternalError(f"{self.name}, {type(message).__name__}", repr(error))

    def on_told_error(self, error: LayerStoreError) -> None:
        """Deal with a bug in the handler of a message that nobody waits for.

        Pykka ends an actor whose tell handler raises. This one goes on, and whoever waits for it
        is told, because which promise is broken can't be known.
        """
        for promise in list(self._promises):
            self.reject(promise, error)

    # Sending and continuing

    def send(self, to: Ref, message: Message) -> None:
        """Tell another actor, naming the message being handled as the cause."""
        to.tell(message, self._handling, self.name)

    def expect(self, then: Continuation) -> int:
        """Make a token for work given away; `then` gets the Done that carries it."""
        token = next(self._tokens)
        self._continuations[token] = then
        return token

    def proceed(self, done: Done) -> None:
        """Continue what waited for `done`; an unknown token is of work that was given up."""
        then = self._continuations.pop(done.token, None)
        if then is not None:
            then(done)
        self._answer_closing()

    # Closing

    def refuse_if_closed(self) -> None:
        """Refuse a request once the books are being closed."""
        if self._closing is not None:
            raise StoreClosed(self.name)

    def close_books(self) -> Promise:
        """Refuse requests from now on and promise an answer for when nothing is under way."""
        if self._closing is None:
            self._closing = pykka.ThreadingFuture()
            self._answer_closing()
        return self._closing

    def _answer_closing(self) -> None:
        if self._closing is not None and not self._continuations and not self._closed:
            self._closed = True
            self._closing.set(None)

    # Answering later

    def promise(self) -> Promise:
        """Make an answer that comes later; it is failed if the actor stops first."""
        promise: Promise = pykka.ThreadingFuture()
        self._promises.add(promise)
        return promise

    def fulfil(self, promise: Promise, value: object) -> None:
        """Give the promised answer, unless it was given before."""
        if promise in self._promises:
            self._promises.discard(promise)
            promise.set(value)

    def reject(self, promise: Promise, error: LayerStoreError) -> None:
        """Give an error for the promised answer, unless one was given before."""
        if promise in self._promises:
            self._promises.discard(promise)
            promise.set_exception((type(error), error, None))

    def settle(self, promise: Promise, done: Done) -> None:
        """Give the outcome of finished work as the promised answer."""
        if done.error is not None:
            self.reject(promise, done.error)
        else:
            self.fulfil(promise, done.value)

    def on_stop(self) -> None:
        """Fail whatever is still promised."""
        for promise in list(self._promises):
            self.reject(promise, StoreClosed(self.name))
