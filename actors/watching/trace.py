"""Tracing: every message as an envelope that says what caused it and what became of it.

Owns a bounded ring of what is finished, shared by all actors of one store, and hands the same to
sinks where there are some: appending to a deque and drawing from a counter are single steps of the
interpreter, so no lock is needed. It writes nothing anywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from time import monotonic_ns
from typing import Any, NamedTuple, Protocol

import msgspec

from layerstore.actors.watching.facts import NOTHING, facts_of

CALLER = "caller"
ANSWER = "Answer"
PENDING = "pending"
"""The outcome of a request whose answer comes later."""
_MAX_SUMMARY = 200


class Content(Protocol):
    """A message or a job, as far as a trace looks at it."""

    def summary(self) -> str:
        """Return IDs and names, never contents."""


# What is remembered of an envelope refers to no message, and to nothing that could refer back, so
# the garbage collector needn't look at thousands of them.
class Envelope(msgspec.Struct, gc=False, eq=False):
    """One message, job or answer on its way; times in nanoseconds of the monotonic clock."""

    content: Any
    """The Message or Job; None once it is kept: a trace remembers no contents."""
    sequence: int
    cause: int
    request: int
    sender: str
    receiver: str
    enqueued: int
    started: int = 0
    ended: int = 0
    kind: str = ""
    summary: str = ""
    outcome: str = ""
    facts: Mapping[str, Any] = NOTHING


class TraceRecord(NamedTuple):
    """What became of a message, a job or an answer; times in nanoseconds of the monotonic clock."""

    sequence: int
    cause: int
    """Sequence number of the message whose handling sent this one; 0 for a public request."""
    request: int
    """Sequence number of the public request at the root."""
    sender: str
    receiver: str
    kind: str
    """Class of the message or of the job, or `Answer` for what a caller was told later."""
    summary: str
    """IDs and names, never contents."""
    enqueued: int
    started: int
    ended: int
    outcome: str
    """`ok`, `pending` where the answer comes later, or the name of an error's class."""
    facts: Mapping[str, Any] = NOTHING
    """What a replay needs of a public request and its answer; only taken down for a journal."""


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """A public request that was answered."""

    sequence: int
    kind: str
    summary: str
    actor: str
    """Who was asked."""
    outcome: str
    """`ok`, or the name of an error's class."""
    seconds: float
    """From being asked to being answered."""
    ago: float
    """Seconds since it was answered."""


Sink = Callable[[Envelope], None]


class Tracer:
    """Numbers envelopes and keeps the newest `size` of them once they are finished."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._sinks: dict[Sink, None] = {}
        self._sink: Sink | None = None
        """Gives to all of them."""
        self.on = size > 0
        self._ring: deque[Envelope] = deque(maxlen=size)
        self._numbers = count(1)

    def send_to(self, sink: Sink) -> None:
        """Give what is finished from now on to `sink` too, which must not wait; from any thread."""
        self._sinks[sink] = None
        self._set_sink()

    def send_no_more_to(self, sink: Sink) -> None:
        """Give nothing more to `sink`; from any thread. Idempotent."""
        self._sinks.pop(sink, None)
        self._set_sink()

    def _set_sink(self) -> None:
        sinks: tuple[Sink, ...] | None = None
        # Somebody else may be here, too: whoever is last sets what holds in the end.
        while sinks != (sinks := tuple(self._sinks)):
            self._sink = _all_of(sinks)
            self.on = self._size > 0 or bool(sinks)

    def wrap(
        self, message: Content, cause: Envelope | None, sender: str, receiver: str
    ) -> Envelope:
        """Put a message into an envelope; without a cause it is at the root."""
        number = next(self._numbers)
        if cause is None:
            return Envelope(message, number, 0, number, sender, receiver, monotonic_ns())
        return Envelope(
            message, number, cause.sequence, cause.request, sender, receiver, monotonic_ns()
        )

    def keep(self, envelope: Envelope, outcome: str, note: str = "") -> None:
        """Remember a finished envelope without its contents, forgetting the oldest if need be.

        `note` is put after what it is about.
        """
        envelope.ended = envelope.ended or monotonic_ns()
        envelope.outcome = outcome
        content = envelope.content
        sink = self._sink
        if content is not None:
            envelope.kind = content.__class__.__name__
            envelope.summary = content.summary() + note if note else content.summary()
            if sink is not None:
                envelope.facts = facts_of(content)
            envelope.content = None
        self._ring.append(envelope)
        if sink is not None:
            sink(envelope)

    def begin(self, job: Content, cause: Envelope | None, worker: str) -> Envelope | None:
        """Put a job that a worker begins into an envelope; it has waited since it was submitted."""
        if not self.on:
            return None
        number = next(self._numbers)
        now = monotonic_ns()
        if cause is None:
            return Envelope(job, number, 0, number, worker, worker, now, now)
        asked = cause.started or now
        return Envelope(job, number, cause.sequence, cause.request, worker, worker, asked, now)

    def begin_run(self, run: Content, cause: Envelope | None, worker: str) -> Envelope | None:
        """Put what a worker takes from where it waited into an envelope, where that is traced."""
        if cause is None:
            return None
        now = cause.started
        number = next(self._numbers)
        return Envelope(
            run, number, cause.sequence, cause.request, cause.receiver, worker, now, now
        )

    def answer(
        self, request: Envelope, cause: Envelope | None, sender: str, outcome: str, value: object
    ) -> None:
        """Remember that a public request that was pending got its answer."""
        kind = request.kind or request.content.__class__.__name__
        now = monotonic_ns()
        self.keep(
            Envelope(
                None,
                next(self._numbers),
                (cause or request).sequence,
                request.request,
                sender,
                request.sender,
                now,
                now,
                0,
                ANSWER,
                kind,
                "",
                facts_of(value) if self._sink is not None else NOTHING,
            ),
            outcome,
        )

    def remembered(self) -> deque[Envelope]:
        """Return what is remembered at this moment, from any thread."""
        return self._ring.copy()

    def records(self) -> list[TraceRecord]:
        """Return what is remembered, ordered by sequence number."""
        return sorted(record_of(envelope) for envelope in self.remembered())


def _all_of(sinks: tuple[Sink, ...]) -> Sink | None:
    def give(envelope: Envelope) -> None:
        for sink in sinks:
            sink(envelope)

    return (sinks[0] if len(sinks) == 1 else give) if sinks else None


def record_of(envelope: Envelope) -> TraceRecord:
    """Return a finished envelope as a record."""
    return TraceRecord(
        envelope.sequence,
        envelope.cause,
        envelope.request,
        envelope.sender,
        envelope.receiver,
        envelope.kind,
        envelope.summary[:_MAX_SUMMARY],
        envelope.enqueued,
        envelope.started,
        envelope.ended,
        envelope.outcome,
        envelope.facts,
    )
