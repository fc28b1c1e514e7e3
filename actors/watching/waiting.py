"""Who waits for whom: what actors have before them, as seen from another thread.

Owns the shape of what is seen and how it is put together. Looking changes nothing and stops nobody:
what is read is replaced as a whole or copied in one step of the interpreter, so an actor that goes
on meanwhile is seen a moment ago, never half.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from layerstore.actors.watching.trace import CALLER, Content, Envelope

_SHOWN = 5


class Seen(Protocol):
    """An actor that can be looked at."""

    @property
    def thread(self) -> int | None:
        """Identifier of its thread."""

    def look(self) -> Glance | None:
        """Return what it has before it; None where it has none yet, or has stopped."""


class Glance(Struct, frozen=True, kw_only=True):
    """One actor at one moment."""

    name: str
    mailbox: tuple[Envelope | Content, ...]
    handling: Envelope | None
    promised: tuple[Envelope, ...]
    """Public requests that it will answer later."""
    asked: Mapping[str, int]
    """How many public requests it has begun with since it was started, by class."""
    queue: tuple[Envelope, ...] = ()
    """What it keeps until somebody can do it."""
    doing: Envelope | None = None
    """The job that it has in hand, with its child if it has one."""
    child: int | None = None
    workers: tuple[Seen, ...] = ()


class ActorStatus(Struct, frozen=True, kw_only=True):
    """What one actor, worker or reaper has before it."""

    name: str
    thread: int | None
    """Identifier of its thread."""
    mailbox: int
    """Messages that it has not begun with."""
    queue: int
    """Jobs that wait for a worker."""
    handling: str | None
    """The message that it is at, and for how long."""
    doing: str | None
    """The job that it is at, and for how long."""
    child: int | None
    """Process ID of its child, if it has one."""
    asked: Mapping[str, int]
    """How many public requests it has begun with since it was started, by class."""


class PendingRequest(Struct, frozen=True, kw_only=True):
    """A public request without an answer."""

    sequence: int
    kind: str
    summary: str
    actor: str
    """Who has to answer it."""
    seconds: float
    """Since it was asked."""
    waits_for: tuple[str, ...]
    """What of it is under way, and where."""
    behind: tuple[int, ...]
    """Earlier requests without an answer that are about the same."""


class Waiting(Struct, frozen=True, kw_only=True):
    """Everything that is under way in a store."""

    requests: tuple[PendingRequest, ...]
    """The oldest first; known only while the store is traced."""
    actors: tuple[ActorStatus, ...]


def look_around(actors: Iterable[Seen]) -> Waiting:
    """Look at actors and their workers."""
    glances: list[tuple[Seen, Glance]] = []
    left = list(actors)
    while left:
        ref = left.pop(0)
        glance = ref.look()
        if glance is not None:
            glances.append((ref, glance))
            left.extend(glance.workers)
    now = time.monotonic_ns()
    return Waiting(
        requests=tuple(_requests([glance for _, glance in glances], now)),
        actors=tuple(_status(ref, glance, now) for ref, glance in glances),
    )


def _status(ref: Seen, glance: Glance, now: int) -> ActorStatus:
    def told(envelope: Envelope | None) -> str | None:
        return None if envelope is None else f"{_name(envelope)} for {_since(envelope, now)}"

    return ActorStatus(
        name=glance.name,
        thread=ref.thread,
        mailbox=len(glance.mailbox),
        queue=len(glance.queue),
        handling=told(glance.handling),
        doing=told(glance.doing),
        child=glance.child,
        asked=glance.asked,
    )


def _requests(glances: list[Glance], now: int) -> Iterator[PendingRequest]:
    pending: dict[int, tuple[Envelope, str]] = {}
    places: dict[int, list[str]] = {}
    for glance in glances:
        for envelope, where in _under_way(glance, now):
            if envelope.cause == 0 and envelope.sender == CALLER:
                pending.setdefault(envelope.sequence, (envelope, glance.name))
            places.setdefault(envelope.request, []).append(f"{_name(envelope)} {where}")
        for envelope in glance.promised:
            pending.setdefault(envelope.sequence, (envelope, glance.name))
    earlier: dict[str, list[int]] = {}
    for number, (envelope, actor) in sorted(pending.items()):
        kind, summary = _kind(envelope), _summary(envelope)
        about = summary.split(" ")[0]
        same = earlier.setdefault(about, [])
        yield PendingRequest(
            sequence=number,
            kind=kind,
            summary=summary,
            actor=actor,
            seconds=(now - envelope.enqueued) / 1e9,
            waits_for=tuple(places.get(number, ())),
            behind=tuple(same) if about else (),
        )
        same.append(number)


def _under_way(glance: Glance, now: int) -> Iterator[tuple[Envelope, str]]:
    for envelope in glance.mailbox:
        if isinstance(envelope, Envelope):
            yield envelope, f"in the mailbox of {glance.name}"
    for envelope in glance.queue:
        yield envelope, f"in the queue of {glance.name}"
    if glance.handling is not None:
        yield glance.handling, f"with {glance.name} for {_since(glance.handling, now)}"
    if glance.doing is not None:
        child = f", child {glance.child}" if glance.child is not None else ""
        yield glance.doing, f"with {glance.name}{child} for {_since(glance.doing, now)}"


def _since(envelope: Envelope, now: int) -> str:
    return f"{(now - (envelope.started or envelope.enqueued)) / 1e9:.1f} s"


def _kind(envelope: Envelope) -> str:
    content = envelope.content
    return content.__class__.__name__ if content is not None else envelope.kind


def _summary(envelope: Envelope) -> str:
    content: Content | None = envelope.content
    return (content.summary() if content is not None else envelope.summary)[:200]


def _name(envelope: Envelope) -> str:
    return f"{_kind(envelope)} {_summary(envelope)}".strip()


def described(waiting: Waiting, request: PendingRequest) -> list[str]:
    """Return lines that say what one request waits for, and what everybody does meanwhile."""
    lines = about_request(request)
    others = [other for other in waiting.requests if other.sequence != request.sequence]
    for other in others[:_SHOWN]:
        places = "; ".join(other.waits_for) or "nothing of it is under way"
        lines.append(f"  request {other.sequence} ({other.kind} {other.summary}): {places}")
    if len(others) > _SHOWN:
        lines.append(f"  and {len(others) - _SHOWN} more requests")
    return lines + [f"  {line}" for line in about_actors(waiting)]


def about_request(request: PendingRequest) -> list[str]:
    """Return lines that say what one request waits for."""
    about = f"{request.kind} {request.summary}".strip()
    lines = [
        f"request {request.sequence} ({about}) has no answer from {request.actor} "
        f"after {request.seconds:.1f} s"
    ]
    lines += [f"  it waits for {place}" for place in request.waits_for]
    if not request.waits_for:
        lines.append("  nothing of it is under way")
    lines += [f"  before it came request {number}, about the same" for number in request.behind]
    return lines


def about_actors(waiting: Waiting) -> list[str]:
    """Return a line for each actor and worker that says what it does."""
    lines = []
    for actor in waiting.actors:
        doing = actor.doing or actor.handling or "nothing"
        child = f", child {actor.child}" if actor.child is not None else ""
        lines.append(
            f"{actor.name}{child}: at {doing}; {actor.mailbox} in its mailbox"
            + (f", {actor.queue} queued" if actor.queue else "")
        )
    return lines
