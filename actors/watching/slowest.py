"""Which calls took longest lately, as far as it is remembered.

Owns how a request and the answer that came to it later are found together. It looks, from any
thread, and changes nothing.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable

from layerstore.actors.watching.trace import ANSWER, CALLER, PENDING, Envelope, Took

_MOST = 20
_MOST_TEXT = 200
_LATELY = 60 * 10**9
"""Nanoseconds; what came long before would stand there for ever."""


def slowest(remembered: Iterable[Envelope]) -> list[Took]:
    """Return the slowest of the last minute, the slowest first, of what was sent and has ended."""
    now = time.monotonic_ns()
    since = now - _LATELY
    pending: dict[int, Envelope] = {}
    ends: list[tuple[Envelope, Envelope]] = []
    later: list[Envelope] = []
    for envelope in remembered:
        if envelope.cause == 0 and envelope.sender == CALLER:
            if envelope.outcome == PENDING:
                pending[envelope.sequence] = envelope
            elif envelope.ended >= since:
                ends.append((envelope, envelope))
        elif envelope.kind == ANSWER and envelope.ended >= since:
            later.append(envelope)
    ends += [(pending[end.request], end) for end in later if end.request in pending]
    longest = heapq.nlargest(_MOST, ends, key=lambda pair: pair[1].ended - pair[0].enqueued)
    return [
        Took(
            sequence=asked.sequence,
            kind=asked.kind,
            summary=asked.summary[:_MOST_TEXT],
            actor=asked.receiver,
            outcome=end.outcome,
            seconds=(end.ended - asked.enqueued) / 1e9,
            ago=(now - end.ended) / 1e9,
        )
        for asked, end in longest
    ]
