"""Figures of a trace: how long each kind of message waited and worked, and callers waited."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.output.tables import table
from layerstore.command.tracing.listing import human_time
from layerstore.command.tracing.loaded import answers, is_call
from layerstore.drivers.system.printable import escaped

Figures = dict[str, Any]


def percentile(values: Iterable[int], percent: int) -> int:
    """Return the value that `percent` of all values don't exceed (nearest rank); 0 of none."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)] if ordered else 0


def figures(records: Sequence[TraceRecord]) -> dict[str, list[Figures]]:
    """Return the figures for JSON, in nanoseconds; what took most in all comes first."""
    kinds: dict[str, list[TraceRecord]] = defaultdict(list)
    for record in records:
        kinds[record.kind].append(record)
    messages = [_of_kind(kind, found) for kind, found in kinds.items()]
    return {
        "calls": _sorted(_calls(records)),
        "messages": _sorted(messages),
    }


def _sorted(found: list[Figures]) -> list[Figures]:
    return sorted(found, key=lambda one: (-one["sum"], one["kind"]))


def _of_kind(kind: str, records: list[TraceRecord]) -> Figures:
    waits = [record.started - record.enqueued for record in records]
    works = [record.ended - record.started for record in records]
    return {
        "kind": kind,
        "count": len(records),
        "failed": sum(record.outcome not in {"ok", "pending"} for record in records),
        "wait_p50": percentile(waits, 50),
        "wait_p99": percentile(waits, 99),
        "work_p50": percentile(works, 50),
        "work_p99": percentile(works, 99),
        "sum": sum(works),
        "waits": sum(waits),
    }


def _calls(records: Sequence[TraceRecord]) -> list[Figures]:
    ends = answers(records)
    taken: dict[str, list[int]] = defaultdict(list)
    counts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for record in filter(is_call, records):
        counts[record.kind] += 1
        end = ends.get(record.request)
        if end is not None:
            taken[record.kind].append(end.ended - record.enqueued)
            failed[record.kind] += end.outcome != "ok"
    return [
        {
            "kind": kind,
            "count": count,
            "pending": count - len(taken[kind]),
            "failed": failed[kind],
            "p50": percentile(taken[kind], 50),
            "p99": percentile(taken[kind], 99),
            "max": max(taken[kind], default=0),
            "sum": sum(taken[kind]),
        }
        for kind, count in counts.items()
    ]


def told(found: dict[str, list[Figures]]) -> str:
    """Return the figures as two tables: what callers waited for, and what was done for it."""
    calls = [
        (
            escaped(one["kind"]), str(one["count"]), str(one["failed"]), str(one["pending"]),
            human_time(one["p50"]), human_time(one["p99"]), human_time(one["max"]),
        )
        for one in found["calls"]
    ]  # fmt: skip
    messages = [
        (
            escaped(one["kind"]), str(one["count"]), str(one["failed"]),
            human_time(one["wait_p50"]), human_time(one["wait_p99"]),
            human_time(one["work_p50"]), human_time(one["work_p99"]),
            human_time(one["waits"]), human_time(one["sum"]),
        )
        for one in found["messages"]
    ]  # fmt: skip
    asked = ("CALL", "COUNT", "FAILED", "PENDING", "P50", "P99", "MAX")
    done = (
        "KIND", "COUNT", "FAILED", "WAIT P50", "WAIT P99", "WORK P50", "WORK P99", "ALL WAIT",
        "ALL WORK",
    )  # fmt: skip
    return table(asked, calls) + "\n" + table(done, messages)
