"""What a store is at, and how much of it in a second, for those who look again and again.

Owns what is looked at: little, so that looking slows nobody, however much a store holds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerstore.actors import messages as m
from layerstore.actors.watching.trace import Took
from layerstore.actors.watching.waiting import Waiting
from layerstore.drivers.errors import CallTimeout, StoreRestarted
from layerstore.observe.metrics import requests_of

if TYPE_CHECKING:
    from layerstore.asking.core import Core

_PATIENCE = 0.5
"""Seconds that the pool has for its answer."""
_OWN = m.PoolStatus.__name__
"""What is asked to look, which isn't what is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A store at one moment."""

    at: float
    """Seconds of the monotonic clock."""
    restarts: int
    """How often the actors were made anew; what is counted begins again with that."""
    pool: m.PoolFacts | None
    """None where it doesn't answer."""
    waiting: Waiting
    slowest: Sequence[Took]
    """Of the last minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What was done of one kind between two moments."""

    kind: str
    a_second: float
    failed: float = 0.0
    """Of these."""
    waited: float = 0.0
    """Seconds, on average, before it was begun."""
    worked: float = 0.0
    """Seconds, on average."""


def look_at(core: Core) -> Activity:
    """Look at a store, whatever its actors are at. Raises StoreClosed, CallTimeout."""
    pool: m.PoolFacts | None = None
    with contextlib.suppress(CallTimeout, StoreRestarted):
        pool = core.call(core.actors.pool, m.PoolStatus(), _PATIENCE)
    return Activity(
        restarts=core.generation,
        pool=pool,
        waiting=core.waiting(),
        slowest=[call for call in core.slowest() if call.kind != _OWN],
        at=time.monotonic(),
    )


def request_rates(before: Activity, now: Activity) -> list[Rate]:
    """Return the rates of requests by kind, the highest first."""
    seconds, known = _since(before, now)
    counted = requests_of(before.waiting.actors) if known else {}
    found = [
        Rate(kind=kind, a_second=(count - counted.get(kind, 0)) / seconds)
        for kind, count in requests_of(now.waiting.actors).items()
        if kind != _OWN
    ]
    return _highest_first(found)


def job_rates(before: Activity, now: Activity) -> list[Rate]:
    """Return the rates of jobs by kind, the highest first; none where the pool didn't answer."""
    if before.pool is None or now.pool is None:
        return []
    seconds, known = _since(before, now)
    tallied = _tallies(before) if known else {}
    kinds: dict[str, list[tuple[bool, int, float, float]]] = {}
    for (kind, outcome), (count, waited, worked) in _tallies(now).items():
        earlier = tallied.get((kind, outcome), (0, 0.0, 0.0))
        more = (outcome != "ok", count - earlier[0], waited - earlier[1], worked - earlier[2])
        kinds.setdefault(kind, []).append(more)
    found = []
    for kind, parts in kinds.items():
        count = sum(part[1] for part in parts)
        each = max(count, 1)
        found.append(
            Rate(
                kind=kind,
                a_second=count / seconds,
                failed=sum(part[1] for part in parts if part[0]) / seconds,
                waited=sum(part[2] for part in parts) / each,
                worked=sum(part[3] for part in parts) / each,
            )
        )
    return _highest_first(found)


def _since(before: Activity, now: Activity) -> tuple[float, bool]:
    """Return the seconds between two moments, and whether what was counted before counts."""
    return max(now.at - before.at, 1e-3), before.restarts == now.restarts


def _tallies(activity: Activity) -> Mapping[tuple[str, str], tuple[int, float, float]]:
    jobs = activity.pool.jobs if activity.pool is not None else ()
    return {(job.kind, job.outcome): (job.count, job.waited, job.worked) for job in jobs}


def _highest_first(found: Sequence[Rate]) -> list[Rate]:
    moving = [rate for rate in found if rate.a_second > 0]
    return sorted(moving, key=lambda rate: (-rate.a_second, rate.kind))
