"""The base of every actor here: sending, answering later, continuing when work is done.

Owns the futures that an actor has promised and the continuations of the work it has given away. A
handler never waits: it either answers at once or returns a promise that a later message fulfils.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from time import monotonic_ns
from typing import Any, cast

import pykka
from msgspec import Struct

from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.logs import tell_request
from layerstore.actors.runtime.mailbox import Mailbox
from layerstore.actors.runtime.message import Done, Message
from layerstore.actors.runtime.ref import Identity, Ref, Watch, close_descriptors
from layerstore.actors.watching.trace import PENDING, Envelope, Tracer
from layerstore.actors.watching.waiting import Glance
from layerstore.drivers.errors import InternalError, LayerStoreError, StoreClosed, StoreRestarted

log = logging.getLogger("layerstore")

Promise = Notifying[Any]
_MOST_IN_A_TURN = 256
"""Letters after which what was decided on is done, though there are more."""
Continuation = Callable[[Done], None]


class Refused(Struct, frozen=True):
    """A request's answer that is an error; raising it would make Pykka log each as a failure."""

    error: LayerStoreError


_OURS = (Envelope, Message)


def _pass_on(to: Promise, answer: Promise) -> None:
    try:
        value = answer.get(timeout=0)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        to.set_exception((type(error), error, None))
    else:
        to.set(value)


def _outcome(answer: object) -> str:
    if isinstance(answer, Refused):
        return type(answer.error).__name__
    return PENDING if isinstance(answer, pykka.Future) else "ok"


class BookKeeper(pykka.ThreadingActor):
    """An actor that keeps promises; subclasses give `asked` and `told`."""

    # A store that its owner forgot to close must not keep the interpreter from ending.
    use_daemon_thread = True
    actor_inbox: Mailbox

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.name = identity.name
        self.ref = Ref(self.actor_ref, identity)
        self._identity = identity
        self._tracer = identity.tracer
        self._watch = identity.watch
        self._death: LayerStoreError | None = None
        identity.keepers.append(self)
        self._handling: Envelope | None = None
        self._doing: Envelope | None = None
        """The job that it does itself, if it is one that does."""
        self._reply: Promise | None = None
        """Where the answer to the request goes that is being handled, until it is given away."""
        self._asked: dict[str, int] = {}
        """How often it was asked what."""
        self._promises: dict[Promise, Envelope | None] = {}
        self._continuations: dict[int, Continuation] = {}
        self._tokens = count(1)
        self._closing: Promise | None = None
        self._closed = False

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return Notifying()

    @classmethod
    def launch(cls, name: str, tracer: Tracer, watch: Watch, **books: Any) -> Ref:
        """Start the actor and return where to send its messages."""
        identity = Identity(name, tracer, watch)
        ref = Ref(cls.start(identity, **books), identity)
        watch.launched(ref)
        return ref

    def on_start(self) -> None:
        """Remember the thread, for whoever waits for its end, and what its log lines are about."""
        self._identity.threads.append(threading.current_thread())
        tell_request(self._request)

    def _request(self) -> int:
        at = self._doing or self._handling
        return at.request if at is not None else 0

    def asked(self, message: Message) -> object:
        """Decide on a public request and return the answer or a promise of it."""
        raise TypeError(f"{self.name} was asked {message!r}")

    def told(self, message: Message) -> None:
        """Decide on a message that nobody waits for."""
        raise TypeError(f"{self.name} was told {message!r}")

    def _actor_loop_running(self) -> None:
        """Handle letters until stopped, as Pykka's own loop; a turn is all that has come by then.

        A promised answer is given to the future that the asker has, and not another in it.
        """
        inbox, stopped = self.actor_inbox, self.actor_stopped
        handled = 0
        while not stopped.is_set():
            letter = inbox.get()
            message = letter.message
            reply = self._reply = cast("Promise | None", letter.reply_to)
            if isinstance(message, _OURS):
                answer = self.on_receive(message)
                if reply is not None:
                    self._reply_with(reply, answer)
            else:  # to stop
                answer = self._handle_receive(message)
                if reply is not None:
                    reply.set(answer)
            handled += 1
            if handled == _MOST_IN_A_TURN or inbox.empty():
                handled = 0
                self.end_turn()

    def _reply_with(self, reply: Promise, answer: object) -> None:
        if self._reply is reply:
            if isinstance(answer, Notifying):  # which others wait for already
                reply.take()
                answer.when_set(partial(_pass_on, reply))
            else:
                reply.set(answer)
        elif answer is reply:
            reply.take()
        elif not reply.is_set:
            self._promises.pop(reply, None)
            reply.set(answer)

    def end_turn(self) -> None:
        """Do at once what was decided for each letter of a turn."""

    def on_receive(self, message: Any) -> object:
        """Unwrap, time and handle one message; a bug in that ends the actor."""
        return self._traced(message) if isinstance(message, Envelope) else self._handled(message)

    def _traced(self, envelope: Envelope) -> object:
        envelope.started = monotonic_ns()
        self._handling = envelope
        try:
            answer = self._handled(envelope.content)
        finally:
            self._handling = None
        self._tracer.keep(envelope, "ok" if answer is None else _outcome(answer))
        return answer

    def _handled(self, message: Message) -> object:
        if self._death is not None:
            close_descriptors(message)
            return Refused(self._death)
        try:
            if message.public:
                kind = message.__class__.__name__
                self._asked[kind] = self._asked.get(kind, 0) + 1
                return self.asked(message)
            self.told(message)
        except LayerStoreError as error:
            close_descriptors(message)
            # Where nobody waits for the answer, nobody would hear of it.
            return Refused(error) if message.public else self._die(message, error)
        except BaseException as error:  # noqa: BLE001 - Pykka would stop every actor there is
            close_descriptors(message)
            return self._die(message, error)
        return None

    def _die(self, message: Message, error: BaseException) -> Refused:
        """Stop, because a bug in a handler leaves books that can't be trusted.

        Whoever waits is told, and whoever watches makes the actor anew. What is in the mailbox
        already is refused.
        """
        log.error("%s failed to handle %s and ends", self.name, message, exc_info=error)
        lost = self._watch.lost(self.name)
        if not isinstance(lost, StoreRestarted):
            lost = InternalError(f"{self.name}, {type(message).__name__}", repr(error))
        self._death = lost
        self._fail_promises(lost)
        self.stop()
        return Refused(lost)

    def _fail_promises(self, error: LayerStoreError) -> None:
        for promise in list(self._promises):
            self.reject(promise, error)

    def look(self) -> Glance:
        """Return what is before this actor; called from other threads, so it only reads."""
        return Glance(
            name=self.name,
            mailbox=tuple(letter.message for letter in self.actor_inbox.letters()),
            handling=self._handling,
            promised=tuple(asked for asked in self._promises.copy().values() if asked is not None),
            asked=self._asked.copy(),
        )

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

    @contextlib.contextmanager
    def for_request(self, cause: Envelope | None) -> Iterator[None]:
        """Do what is done in a `with` block in the name of a request that waited until now."""
        before, self._handling = self._handling, cause
        try:
            yield
        finally:
            self._handling = before

    # Closing

    def refuse_if_closed(self) -> None:
        """Refuse a request once the books are being closed."""
        if self._closing is not None:
            raise StoreClosed(self.name)

    def close_books(self) -> Promise:
        """Refuse requests from now on and promise an answer for when nothing is under way."""
        if self._closing is None:
            self._closing = self.promise()
            self._answer_closing()
        return self._closing

    def _answer_closing(self) -> None:
        if self._closing is not None and not self._continuations and not self._closed:
            self._closed = True
            self.fulfil(self._closing, None)

    # Answering later

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for the answer to the request that is being handled."""
        return self._reply is not None

    def promise(self, *, aside: bool = False) -> Promise:
        """Make an answer that comes later; it is failed if the actor stops first.

        It is that of the request which is being handled, and has to be returned, unless there is
        none or it is one `aside`.
        """
        promise = self._reply if not aside else None
        if promise is None:
            promise = Notifying()
        else:
            self._reply = None
        asked = self._handling
        public = asked is not None and asked.content is not None and asked.cause == 0
        self._promises[promise] = asked if public else None
        return promise

    def fulfil(self, promise: Promise, value: object) -> None:
        """Give the promised answer, unless it was given before."""
        if promise in self._promises:
            self._answered(promise, "ok", value)
            promise.set(value)

    def reject(self, promise: Promise, error: LayerStoreError) -> None:
        """Give an error for the promised answer, unless one was given before."""
        if promise in self._promises:
            self._answered(promise, type(error).__name__, None)
            promise.set_exception((type(error), error, None))

    def _answered(self, promise: Promise, outcome: str, value: object) -> None:
        request = self._promises.pop(promise)
        if request is not None:
            self._tracer.answer(request, self._handling, self.name, outcome, value)

    def settle(self, promise: Promise, done: Done) -> None:
        """Give the outcome of finished work as the promised answer."""
        if done.error is not None:
            self.reject(promise, done.error)
        else:
            self.fulfil(promise, done.value)

    def on_failure(self, *_exc_info: object) -> None:
        """Do as when stopping: whatever ends an actor, nobody waits for it in vain."""
        self.on_stop()

    def on_stop(self) -> None:
        """Fail whatever is still promised, and close what nobody gets to any more."""
        self.discard_mail()
        if self._promises or not self._identity.dismissed:
            self._fail_promises(self._death or self._watch.lost(self.name))

    def discard_mail(self) -> None:
        """Close the descriptors in what this actor was told, or is told yet, and never gets to."""
        for letter in self.actor_inbox.letters():
            if letter.reply_to is None:  # else whoever asked closes them, having waited in vain
                message = letter.message
                close_descriptors(message.content if isinstance(message, Envelope) else message)
