"""The command's verb `top`: what the owner of a root is at, drawn again and again.

Owns what the lines say. All that comes from the owner is escaped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from layerstore.command.opening import watched
from layerstore.command.output.screen import Screen
from layerstore.command.output.tables import table
from layerstore.command.tracing.listing import human_time
from layerstore.drivers.system.printable import escaped
from layerstore.observe.activity import Activity, Rate, job_rates, look_at, request_rates

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore

_FIRST = 0.5
"""Seconds until there is something to compare with, at most."""
_MOST_RATES = 6
_MOST_CALLS = 5
_MOST_ABOUT = 40


def top(options: argparse.Namespace) -> int:
    """Draw what goes on until somebody has seen enough."""
    left = options.iterations
    screen = Screen()
    with watched(options) as store:
        before = look_at(store.core)
        with screen.held():
            seconds = min(options.interval, _FIRST)
            while (left is None or left > 0) and screen.wait(seconds):
                now = look_at(store.core)
                screen.show(_lines(store, before, now))
                before, seconds = now, options.interval
                left = left - 1 if left is not None else None
    return 0


def _lines(store: LayerStore, before: Activity, now: Activity) -> list[str]:
    tables = (_actors(now), _rates(before, now), _calls(now))
    drawn = [line for one in tables for line in ("", *one.splitlines())]
    return [*_heading(store, now), *drawn]


def _heading(store: LayerStore, now: Activity) -> Iterator[str]:
    owner = store.owner
    who = f"process {owner.pid}, layerstore {owner.version}" if owner is not None else ""
    yield escaped(f"{store.root}, {store.driver_name}, {who}   {time.strftime('%H:%M:%S')}")
    pool = now.pool
    jobs = "the pool doesn't answer"
    if pool is not None:
        jobs = (
            f"jobs: {pool.running} running, {pool.queued} queued; "
            f"workers: {pool.workers}, {pool.idle} of them idle"
        )
    yield f"{jobs}; calls under way: {len(now.waiting.requests)}; restarts: {now.restarts}"


def _actors(now: Activity) -> str:
    rows = [
        (
            escaped(actor.name),
            str(actor.mailbox),
            str(actor.queue or ""),
            escaped(actor.doing or actor.handling or ""),
        )
        for actor in now.waiting.actors
        # Of workers only those at work: there may be many.
        if "-worker-" not in actor.name or actor.doing or actor.handling or actor.mailbox
    ]
    return table(("ACTOR", "MAILBOX", "QUEUED", "AT"), rows)


def _rates(before: Activity, now: Activity) -> str:
    def row(what: str, rate: Rate, *more: str) -> Sequence[str]:
        return (what, escaped(rate.kind), f"{rate.a_second:.1f}", *more)

    rows = [row("request", rate, "", "", "") for rate in request_rates(before, now)[:_MOST_RATES]]
    for rate in job_rates(before, now)[:_MOST_RATES]:
        failed = f"{rate.failed:.1f}" if rate.failed else ""
        times = (human_time(rate.waited * 1e9), human_time(rate.worked * 1e9))
        rows.append(row("job", rate, failed, *times))
    return table(("", "KIND", "A SECOND", "FAILED", "WAITED", "WORKED"), rows)


def _calls(now: Activity) -> str:
    rows = []
    for request in now.waiting.requests[:_MOST_CALLS]:
        became = "; ".join(request.waits_for) or "nothing of it is under way"
        rows.append((request.kind, request.summary, request.seconds, f"waits: {became}"))
    for call in now.slowest[:_MOST_CALLS]:
        rows.append(
            (call.kind, call.summary, call.seconds, f"{call.outcome}, {call.ago:.0f} s ago")
        )
    return table(
        ("SLOWEST", "ABOUT", "TOOK", "BECAME"),
        [
            (escaped(kind), escaped(about)[:_MOST_ABOUT], human_time(took * 1e9), escaped(became))
            for kind, about, took, became in rows
        ],
    )
