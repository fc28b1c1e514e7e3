"""Printing records as they come: each in a line, or each request as a tree once it is done.

Owns what has come and isn't printed yet. Where records come from is for others.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing.listing import facts, line
from layerstore.command.tracing.loaded import is_answer, is_call
from layerstore.command.tracing.selection import Selection
from layerstore.command.tracing.tree import drawn, flat

_SETTLE_SECONDS = 0.25
"""How long nothing more of a request has come that is printed as a tree: little comes after it."""
_MOST_KEPT = 100_000
"""Records of requests that aren't done."""


class Printer(Protocol):
    """Takes records, and prints what is chosen of them."""

    def take(self, records: Iterable[TraceRecord]) -> None:
        """Take what has come, and print what is to be printed by now."""

    @property
    def patience(self) -> float | None:
        """Seconds until something is to be printed, though nothing comes; None for never."""

    def finish(self) -> None:
        """Print what is left: nothing more comes."""


class Lines:
    """Prints each record in a line."""

    patience = None

    def __init__(self, selection: Selection, *, as_json: bool) -> None:
        self._selection = selection
        self._as_json = as_json
        self._begin: int | None = None

    def take(self, records: Iterable[TraceRecord]) -> None:
        """See Printer."""
        for record in records:
            self._begin = self._begin if self._begin is not None else record.enqueued
            if self._selection.fits(record):
                print(json.dumps(facts(record)) if self._as_json else line(record, self._begin))
        sys.stdout.flush()

    def finish(self) -> None:
        """See Printer."""


@dataclass(slots=True)
class _Growing:
    """What has come of one request."""

    records: list[TraceRecord] = field(default_factory=list)
    touched: float = 0.0
    waits: bool = False
    """It has a caller, who has no answer yet."""


class Trees:
    """Prints each request of which a record is chosen, as a tree."""

    def __init__(self, selection: Selection, *, as_json: bool, plain: bool) -> None:
        self._selection = selection
        self._as_json = as_json
        self._plain = plain
        self._growing: dict[int, _Growing] = {}
        self._kept = 0

    def take(self, records: Iterable[TraceRecord]) -> None:
        """See Printer."""
        now = time.monotonic()
        for record in records:
            growing = self._growing.setdefault(record.request, _Growing())
            growing.records.append(record)
            growing.touched = now
            if is_answer(record):
                growing.waits = False
            elif is_call(record):
                # Its answer may have been done before it: it is another thread's.
                growing.waits = not any(map(is_answer, growing.records))
            self._kept += 1
        for request in list(self._done(now)):
            self._print(request)
        while self._kept > _MOST_KEPT:
            self._print(next(iter(self._growing)))
        sys.stdout.flush()

    def _done(self, now: float) -> Iterator[int]:
        for request, growing in self._growing.items():
            if not growing.waits and now - growing.touched >= _SETTLE_SECONDS:
                yield request

    @property
    def patience(self) -> float | None:
        """See Printer."""
        touched = (growing.touched for growing in self._growing.values() if not growing.waits)
        first = min(touched, default=None)
        if first is None:
            return None
        return max(first + _SETTLE_SECONDS - time.monotonic(), 0.0)

    def finish(self) -> None:
        """See Printer."""
        for request in list(self._growing):
            self._print(request)
        sys.stdout.flush()

    def _print(self, request: int) -> None:
        records = sorted(self._growing.pop(request).records)
        self._kept -= len(records)
        if any(map(self._selection.fits, records)):
            if self._as_json:
                print(json.dumps(flat(records)))
            else:
                print(drawn(records, plain=self._plain))
