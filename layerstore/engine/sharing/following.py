"""What an attached process hears of what its owner does, record by record.

Owns what has been heard and not taken yet, which is bounded: who takes it too slowly loses records,
and is told how many. The thread that reads the connection puts it down here and goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import pykka

from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.watching.trace import TraceRecord
from layerstore.drivers.errors import CallTimeout
from layerstore.drivers.system.frames import convert

log = logging.getLogger("layerstore")

_MOST_UNTAKEN = 20_000
"""Records, or pieces of news without any."""

Take = Callable[[TraceRecord], None]
Lost = Callable[[int], None]
T = TypeVar("T")


class News(NamedTuple):
    """What came at once."""

    records: list[TraceRecord]
    lost: int
    """How many records are missing by now that weren't told of before."""


class _Records(NamedTuple):
    word: Literal["records"]
    records: list[TraceRecord]


class _Lost(NamedTuple):
    word: Literal["lost"]
    missing: Annotated[int, msgspec.Meta(ge=0)]


def heard(word: object, frame: object) -> News:
    """Return the news that a frame brings. Raises BadFrame."""
    if word == "records":
        return News(convert(frame, _Records).records, 0)
    return News([], convert(frame, _Lost).missing)


class Following:
    """What is heard from when it was made; one thread puts it in, one takes it."""

    def __init__(self, watch: int = 0) -> None:
        self.watch = watch
        """Its number, for the owner."""
        self._came: queue.SimpleQueue[list[TraceRecord] | None] = queue.SimpleQueue()
        self.over = False
        """Nothing more is wanted, or comes."""
        # Each is counted by one of the two threads alone.
        self._put = self._taken = 0
        self._lost = self._told = 0

    # In the thread that reads the connection

    def add(self, news: News) -> None:
        """Take what has come."""
        self._lost += news.lost
        if self._put - self._taken > _MOST_UNTAKEN:
            self._lost += len(news.records)
        else:
            self._put += len(news.records) or 1
            self._came.put(news.records)

    def end(self) -> None:
        """Say that nothing more comes; from any thread."""
        self.over = True
        self._came.put(None)

    # In the thread that takes it

    def next(self, timeout: float | None = None) -> News | None:
        """Wait for news, at most `timeout` seconds (without any then); None where none comes."""
        try:
            records = self._came.get(timeout=timeout)
        except queue.Empty:
            return News([], 0)
        if records is None:
            return None
        self._taken += len(records) or 1
        lost = self._lost
        self._told, lost = lost, lost - self._told
        return News(records, lost)

    def hand_over(self, take: Take, lost: Lost) -> None:
        """Call `take` with each record and `lost` with how many are missing, until it ends."""
        while (news := self.next()) is not None:
            for record in news.records:
                _guarded(take, record)
            if news.lost:
                _guarded(lost, news.lost)


class Followers:
    """All who hear what one owner does; what they are told comes from one thread."""

    def __init__(self) -> None:
        self._all: dict[Following, None] = {}

    def all(self) -> list[Following]:
        """Return those who hear."""
        return list(self._all)

    def add(self, following: Following) -> None:
        """Tell somebody what comes from now on."""
        self._all[following] = None

    def remove(self, following: Following) -> None:
        """Tell somebody no more. Idempotent."""
        self._all.pop(following, None)

    def tell(self, news: News) -> None:
        """Tell everybody."""
        for following in self.all():
            if following.over:  # the answer that added it came when nobody waited any more
                self.remove(following)
            else:
                following.add(news)

    def end(self) -> None:
        """Say to everybody that nothing more comes."""
        for following in self.all():
            following.end()


def _guarded(take: Callable[[T], None], what: T) -> None:
    try:
        take(what)
    except Exception:  # whoever looks on goes on, as in the owner itself
        log.exception("%r failed to take a record", take)


def handing_over(following: Following, take: Take, lost: Lost | None) -> threading.Thread:
    """Start a thread that hands all that is heard over."""
    thread = threading.Thread(
        target=following.hand_over, args=(take, lost or _complain), name="following", daemon=True
    )
    thread.start()
    return thread


def _complain(count: int) -> None:
    log.warning("%d records of the store's owner came too fast, and are lost", count)


def answer_of(what: str, future: Notifying[Any], timeout: float) -> Any:
    """Wait for the owner's answer. Raises what it answers with, CallTimeout."""
    try:
        answer = future.get(timeout=timeout)
    except pykka.Timeout as error:
        raise CallTimeout(what, timeout) from error
    if isinstance(answer, Refused):
        raise answer.error
    return answer
