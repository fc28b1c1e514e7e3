"""Tracing: every message as an envelope that says what caused it and what became of it.

Owns a bounded ring of handled envelopes, shared by all actors of one store: appending to a deque
and drawing from a counter are single steps of the interpreter, so no lock is needed.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from layerstore.actors.messages import Message


@dataclass(slots=True)
class Envelope:
    """One message on its way; times in nanoseconds of the monotonic clock."""

    message: Message
    sequence: int
    cause: int
    request: int
    sender: str
    receiver: str
    enqueued: int
    started: int = 0


class TraceRecord(NamedTuple):
    """What became of one message; times in nanoseconds of the monotonic clock."""

    sequence: int
    cause: int
    """Sequence number of the message whose handling sent this one; 0 for a public request."""
    request: int
    """Sequence number of the public request at the root."""
    sender: str
    receiver: str
    kind: str
    summary: str
    enqueued: int
    started: int
    ended: int
    outcome: str
    """`ok`, `pending` where the answer comes later, or the name of an error's class."""


class Tracer:
    """Numbers envelopes and keeps the newest `size` of them once they are handled; 0 is off."""

    def __init__(self, size: int) -> None:
        self.on = size > 0
        self._ring: deque[TraceRecord] = deque(maxlen=max(size, 1))
        self._numbers = count(1)

    def wrap(
        self, message: Message, cause: Envelope | None, sender: str, receiver: str
    ) -> Envelope:
        """Put a message into an envelope; without a cause it is a public request."""
        number = next(self._numbers)
        return Envelope(
            message,
            number,
            cause.sequence if cause else 0,
            cause.request if cause else number,
            sender,
            receiver,
            time.monotonic_ns(),
        )

    def keep(self, envelope: Envelope, outcome: str) -> None:
        """Remember a handled envelope, forgetting the oldest when the ring is full."""
        self._ring.append(
            TraceRecord(
                envelope.sequence,
                envelope.cause,
                envelope.request,
                envelope.sender,
                envelope.receiver,
                type(envelope.message).__name__,
                envelope.message.summary(),
                envelope.enqueued,
                envelope.started,
                time.monotonic_ns(),
                outcome,
            )
        )

    def records(self) -> list[TraceRecord]:
        """Return what is remembered, ordered by sequence number."""
        return sorted(self._ring.copy())
