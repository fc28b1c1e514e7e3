"""A trace in Chrome's trace event format, which Perfetto (ui.perfetto.dev) opens.

Every actor, worker and child is a thread with a slice for each message or job; calls are slices of
callers, who get threads so that no two calls overlap in one. Arrows (flow events) lead from the
slice that sent a message to the one that handled it. Format: "Trace Event Format", Google.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

from layerstore.actors.watching.trace import ANSWER, TraceRecord
from layerstore.command.tracing.loaded import Trace, answers, is_call, lanes

Event = dict[str, Any]
Slice = tuple[int, int, int]
"""Thread, and when it begins and ends."""


class _Page:
    def __init__(self, trace: Trace, records: list[TraceRecord]) -> None:
        self._pid = trace.header.pid
        self._records = records
        self._begin = min((record.enqueued for record in records), default=0)
        self._threads: dict[str, int] = {}
        self._calls: dict[int, Slice] = {}
        self._slices: dict[int, Slice] = {}
        self.events: list[Event] = []

    def _event(self, phase: str, thread: int, at: int, **more: Any) -> Event:
        at = max(at, self._begin)
        return {
            "ph": phase, "pid": self._pid, "tid": thread, "ts": (at - self._begin) / 1000, **more
        }  # fmt: skip

    def _slice(self, place: Slice, record: TraceRecord, name: str) -> Event:
        thread, begin, end = place
        arguments = {
            "sequence": record.sequence, "cause": record.cause, "request": record.request,
            "about": record.summary, "outcome": record.outcome, "from": record.sender,
            "waited_us": (record.started - record.enqueued) / 1000,
        }  # fmt: skip
        duration = max(end - begin, 0) / 1000
        return self._event(
            "X", thread, begin, dur=duration, name=name, cat="message", args=arguments
        )

    def draw(self) -> None:
        names = [name for name in lanes(self._records) if name != "caller"]
        self._draw_calls()
        for name in names:
            self._threads[name] = len(self._threads) + 1
        for record in self._records:
            if record.kind == ANSWER:
                continue
            place = (self._threads[record.receiver], record.started, record.ended)
            self._slices[record.sequence] = place
            self.events.append(self._slice(place, record, record.kind))
        for record in self._records:
            self.events.extend(self._arrow(record))
        self.events.sort(key=lambda event: event["ts"])
        self.events[:0] = self._names()

    def _draw_calls(self) -> None:
        """Give each call a caller's thread that is free by then."""
        ends = answers(self._records)
        free: list[tuple[int, int]] = []
        for record in sorted(filter(is_call, self._records), key=lambda record: record.enqueued):
            last = ends.get(record.request, record)
            if free and free[0][0] <= record.enqueued:
                _, thread = heappop(free)
            else:
                thread = len(free) + 1
                self._threads[f"caller {thread}"] = thread
            heappush(free, (last.ended, thread))
            place = (thread, record.enqueued, last.ended)
            self._calls[record.request] = place
            self.events.append(self._slice(place, record, f"call {record.kind}"))

    def _arrow(self, record: TraceRecord) -> Iterator[Event]:
        source = self._slices.get(record.cause)
        target = self._slices.get(record.sequence)
        if is_call(record):
            source = self._calls.get(record.request)
        if record.kind == ANSWER:
            target = self._calls.get(record.request)
        if source is None or target is None:
            return
        left = min(max(record.enqueued, source[1]), source[2])
        arrived = min(max(record.started, left, target[1]), max(target[2], left))
        name, number = record.kind, record.sequence
        yield self._event("s", source[0], left, id=number, name=name, cat="flow")
        yield self._event("f", target[0], arrived, id=number, name=name, cat="flow", bp="e")

    def _names(self) -> Iterator[Event]:
        def named(what: str, thread: int, **arguments: Any) -> Event:
            return {"ph": "M", "pid": self._pid, "tid": thread, "name": what, "args": arguments}

        yield named("process_name", 0, name="layerstore")
        for name, thread in self._threads.items():
            yield named("thread_name", thread, name=name)
            yield named("thread_sort_index", thread, sort_index=thread)


def chrome_events(trace: Trace, records: list[TraceRecord]) -> dict[str, Any]:
    """Return the document, for JSON; times in it are microseconds from the first record on."""
    page = _Page(trace, records)
    page.draw()
    about = {"root": trace.header.root, "driver": trace.header.driver}
    if trace.version:
        about["version"] = trace.version
    about["began"] = trace.moment(trace.begin).isoformat()
    return {"traceEvents": page.events, "displayTimeUnit": "ns", "otherData": about}
