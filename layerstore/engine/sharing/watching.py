"""What a store's owner tells those who look on: each record, once it is done; and its journal.

Owns which attached processes look on, and one bounded queue of what they haven't been sent yet:
actors put a record down there and go on, the thread that serves connections sends many at a time.
Who reads too slowly loses records, and is told how many. Looking on is no message to an actor, so
no trace shows it.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgpack
import msgspec

from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.watching.trace import Envelope, Tracer, record_of
from layerstore.drivers.errors import StoreBusy, to_wire
from layerstore.drivers.system.frames import convert, pack_frame_of, pack_value
from layerstore.engine.core import Engine
from layerstore.engine.sharing.channel import Channel

WORDS = ("watch", "unwatch", "journal")
"""What is asked of an Onlooker."""

_GATHER_SECONDS = 0.05
"""How long records are gathered: woken for each, a thread would take turns with the actors."""
_MOST_WAITING = 20_000
"""Records that wait to be sent."""
_MOST_UNREAD = 1 << 20
"""Bytes that a process hasn't read; it loses records until it has."""
_MOST_IN_FRAME = 1 << 18
_MOST_IN_RECORD = 1 << 17
"""Bytes; one that is longer is lost, as it is for a journal."""
_MOST_WATCHES = 1_000
"""Of one process."""


class _Watch(NamedTuple):
    word: Literal["watch", "unwatch"]
    number: int
    watch: int


class _Journal(NamedTuple):
    word: Literal["journal"]
    number: int
    path: Annotated[str, msgspec.Meta(pattern=r"\A/[^\0]*\Z", max_length=8192)] | None


class Watching:
    """Everybody who looks on. All but what actors call happens in the thread that serves them."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Begin without anybody; `wake` wakes the thread, and is called in any other."""
        self._wake = wake
        self._onlookers: dict[Onlooker, None] = {}
        self._done: deque[Envelope] = deque()
        self._drops = itertools.count()
        """Counts in one step of the interpreter, whoever counts: what was dropped, and looks."""
        self._looks = self._told = 0
        self._woken = False
        self._due: float | None = None
        """When what has been gathered is sent."""

    def join(self, onlooker: Onlooker, tracer: Tracer) -> None:
        """Have a process sent what is done from now on. Idempotent."""
        self.send()
        if not self._onlookers:
            tracer.send_to(self._put)
        self._onlookers[onlooker] = None

    def leave(self, onlooker: Onlooker, tracer: Tracer) -> None:
        """Have it sent what was done until now, and no more. Idempotent."""
        if onlooker in self._onlookers:
            if len(self._onlookers) == 1:
                tracer.send_no_more_to(self._put)
            self.send()
            del self._onlookers[onlooker]

    def _put(self, envelope: Envelope) -> None:
        """Put down a record; in actors' threads."""
        if len(self._done) >= _MOST_WAITING:
            next(self._drops)
            return
        self._done.append(envelope)
        if not self._woken:
            self._woken = True
            self._wake()

    @property
    def patience(self) -> float | None:
        """Seconds until something is to be sent; None where nothing is."""
        if not self._woken:
            return None
        now = time.monotonic()
        if self._due is None:
            self._due = now + _GATHER_SECONDS
        return max(self._due - now, 0.0)

    def send_if_due(self) -> None:
        """Send what has been gathered long enough."""
        if self._due is not None and self._due <= time.monotonic():
            self.send()

    def send(self) -> None:
        """Have all of them sent what there is."""
        self._due, self._woken = None, False  # first, so that what comes meanwhile wakes again
        found = [self._done.popleft() for _ in range(len(self._done))]
        dropped = next(self._drops) - self._looks
        self._looks += 1
        lost, self._told = dropped - self._told, dropped
        if not self._onlookers:
            return
        for frame, count, unfit in _frames(found):
            lost += unfit
            for onlooker in self._onlookers:
                onlooker.show(frame, count)
        if lost:
            for onlooker in self._onlookers:
                onlooker.miss(lost)


class Onlooker:
    """One attached process, as far as it looks on."""

    def __init__(
        self,
        engine: Engine,
        watching: Watching,
        channel: Channel,
        note: Callable[[int, Notifying[Any]], None],
        ring: Callable[[], None],
    ) -> None:
        """Begin with one that doesn't.

        `note` is called, in any thread, with the number of a request and its answer, `ring` where
        there is something to send.
        """
        self._engine = engine
        self._watching = watching
        self._channel = channel
        self._note = note
        self._ring = ring
        self._watches: set[int] = set()
        self._missed = 0
        """Records that it was not sent, and hasn't been told of."""
        self._switching = False

    def heard(self, word: object, frame: object) -> None:
        """Do what is asked by one of WORDS. Raises BadFrame."""
        if word == "journal":
            self._switch(convert(frame, _Journal))
            return
        asked = convert(frame, _Watch)
        if asked.word == "unwatch":
            self._watches.discard(asked.watch)
            if not self._watches:
                self._watching.leave(self, self._engine.tracer)
            self._tell_missed()
        elif len(self._watches) >= _MOST_WATCHES:
            self._refuse(asked.number, len(self._watches))
            return
        else:
            self._watches.add(asked.watch)
            self._watching.join(self, self._engine.tracer)
        self._channel.put(["answer", asked.number, None])

    def _switch(self, asked: _Journal) -> None:
        if self._switching:
            self._refuse(asked.number, 1)
            return
        self._switching = True

        def done(future: Notifying[Any]) -> None:
            self._switching = False
            self._note(asked.number, future)

        self._engine.staff.switch_journal(asked.path).when_set(done)

    def _refuse(self, number: int, queued: int) -> None:
        self._channel.put(["error", number, to_wire(StoreBusy(queued), "the store's owner")])

    def show(self, frame: bytes, count: int) -> None:
        """Have a frame sent with so many records, or none of them."""
        if self._channel.unsent > _MOST_UNREAD:
            self.miss(count)
            return
        self._tell_missed()
        self._channel.queue(frame)
        self._ring()

    def miss(self, count: int) -> None:
        """Take note of records that it isn't sent."""
        self._missed += count
        self._ring()

    def _tell_missed(self) -> None:
        if self._missed:
            self._channel.put(["lost", self._missed])
            self._missed = 0

    def flush(self) -> bool:
        """Send what there is room for; whether that was all. Raises OSError."""
        sent = self._channel.flush()
        if sent and self._missed:
            self._tell_missed()
            sent = self._channel.flush()
        return sent

    def end(self) -> None:
        """Look on no more, and hear of nothing. Idempotent."""
        self._watches.clear()
        self._watching.leave(self, self._engine.tracer)
        self._missed = 0


def _frames(envelopes: Sequence[Envelope]) -> Iterator[tuple[bytes, int, int]]:
    """Give frames with all records, each with how many, and how many are lost there."""
    rows: list[bytes] = []
    size = unfit = 0
    for envelope in envelopes:
        try:
            row = pack_value(record_of(envelope))
        except (ValueError, TypeError, OverflowError, msgpack.PackException):
            row = b""  # the caller's own name or number, which no frame can hold
        if not 0 < len(row) <= _MOST_IN_RECORD:
            unfit += 1
            continue
        rows.append(row)
        size += len(row)
        if size > _MOST_IN_FRAME:
            yield pack_frame_of("records", rows), len(rows), unfit
            rows, size, unfit = [], 0, 0
    if rows or unfit:
        yield pack_frame_of("records", rows), len(rows), unfit
