"""One request as a tree: what led to what, with a bar for when each waited and worked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing.listing import facts, human_time
from layerstore.command.tracing.loaded import Trace, answers, by_cause
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.system.printable import escaped

_WIDTH = 40
_DEEPEST = 200
_PLAIN = ("-", "#", "|", "|-- ", "`-- ", "|   ")
_DRAWN = ("░", "█", "│", "├── ", "└── ", "│   ")

Node = tuple[TraceRecord, str, str]
"""A record, what stands before it, and what stands before those that it led to."""


def request_of(trace: Trace, number: int) -> list[TraceRecord]:
    """Return all records of the request that record `number` is of. Raises InvalidArgument."""
    requests = {record.request for record in trace.records if record.sequence == number}
    if not requests:
        raise InvalidArgument(str(number), "no record of the trace has this number")
    return [record for record in trace.records if record.request in requests]


def drawn(records: list[TraceRecord], *, plain: bool = False) -> str:
    """Return lines with a request's tree; `plain` draws with ASCII only."""
    signs = _PLAIN if plain else _DRAWN
    begin = min(record.enqueued for record in records)
    answer = answers(records).get(records[0].request)
    # What is cleaned up long after the answer would leave no room for what led to it.
    end = answer.ended if answer else max(record.ended for record in records)
    nodes = list(_walk(records, signs))
    labels = [f"{before}{_label(record)}" for record, before, _ in nodes]
    width = max(map(len, labels))
    lines = [_heading(records)]
    for (record, _, _), label in zip(nodes, labels, strict=True):
        bar = _bar(record, begin, max(end - begin, 1), signs)
        waited = human_time(record.started - record.enqueued)
        worked = human_time(record.ended - record.started)
        outcome = "" if record.outcome == "ok" else f"  {escaped(record.outcome)}"
        lines.append(f"{label:{width}} {signs[2]}{bar}{signs[2]} {waited:>8} {worked:>8}{outcome}")
    return "\n".join(lines) + "\n"


def _heading(records: list[TraceRecord]) -> str:
    root = records[0]
    answer = answers(records).get(root.request)
    if root.sequence != root.request:
        return f"Request {root.request}, in part: {escaped(answer.outcome) if answer else 'more'}"
    outcome, took = "no answer yet", ""
    if answer is not None:
        outcome = escaped(answer.outcome)
        took = f" after {human_time(answer.ended - root.enqueued)}"
    about = f" {escaped(root.summary)}" if root.summary else ""
    return f"Request {root.request}: {escaped(root.kind)}{about}: {outcome}{took}"


def _label(record: TraceRecord) -> str:
    about = f" {record.summary}" if record.summary else ""
    way = f"{record.sender} > {record.receiver}"
    if record.sender == record.receiver:
        way = record.receiver
    return escaped(f"{record.sequence} {record.kind}{about} ({way})")


def _roots(records: list[TraceRecord]) -> list[TraceRecord]:
    """Return the request, and what was caused by something that isn't in the trace any more."""
    there = {record.sequence for record in records}
    return [record for record in records if record.cause not in there]


def _walk(records: list[TraceRecord], signs: tuple[str, ...]) -> Iterator[Node]:
    led_to = by_cause(records)
    # What was read may be deep, so it isn't walked by recursion; and each is walked once.
    waiting: list[Node] = [(record, "", "") for record in reversed([*_roots(records), *records])]
    walked: set[int] = set()
    while waiting:
        record, before, below = waiting.pop()
        if id(record) in walked:
            continue
        walked.add(id(record))
        yield record, before, below
        children = led_to.pop(record.sequence, [])
        for child in reversed(children):
            last = child is children[-1]
            branch = signs[4] if last else signs[3]
            further = "    " if last else signs[5]
            # However deep it is, a line is no longer than this.
            above = below[-_DEEPEST:]
            waiting.append((child, above + branch, above + further))


def _bar(record: TraceRecord, begin: int, total: int, signs: tuple[str, ...]) -> str:
    def cell(at: int) -> int:
        return min(max((at - begin) * _WIDTH // total, 0), _WIDTH - 1)

    sent, started, ended = cell(record.enqueued), cell(record.started), cell(record.ended)
    wait, work = signs[0] * (started - sent), signs[1] * (ended - started + 1)
    return (" " * sent + wait + work).ljust(_WIDTH)[:_WIDTH]


def flat(records: list[TraceRecord]) -> list[dict[str, Any]]:
    """Return the tree for JSON: records in the order in which it is drawn, each with its depth."""
    depths: dict[int, int] = {}
    found = []
    for record, _, _ in _walk(records, _PLAIN):
        depth = depths.get(record.cause, -1) + 1
        depths.setdefault(record.sequence, depth)
        found.append({**facts(record), "depth": depth})
    return found
