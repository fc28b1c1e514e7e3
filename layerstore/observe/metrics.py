"""What a store has done and is doing, in figures.

Owns the snapshot that operators collect, and how it is put together: by asking the actors, which
know, and looking at the trash.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerstore.actors import messages as m
from layerstore.actors.watching.waiting import ActorStatus
from layerstore.drivers.errors import DriverError
from layerstore.operations.declared import store as requests

if TYPE_CHECKING:
    from layerstore.asking.core import Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """One snapshot of a store; requests and jobs are counted since its actors started last."""

    layers: int
    layer_bytes: int
    """Of all layers, each once; bytes of their files."""
    layer_references: int
    """References that callers, images, read-write layers and layers above hold."""
    mounts: Mapping[str, int]
    """Read-write layers by state: `creating`, `ready`, `removing`."""
    mounted: int
    """Read-write layers that are mounted now."""
    images: int
    trash: int
    """Directories and files that are removed and not deleted yet."""
    workers: int
    idle_workers: int
    running_jobs: int
    queued_jobs: int
    """Jobs that wait for a worker."""
    mailboxes: Mapping[str, int]
    """Messages that each actor has not begun with."""
    requests: Mapping[str, int]
    """What the actors were asked, by callers and for figures as these, by class."""
    jobs: tuple[m.JobTally, ...]
    """By kind and outcome."""
    restarts: int
    """How often the actors were made anew because one of them died."""


def measure(core: Core) -> Metrics:
    """Take a snapshot. Raises StoreClosed, DriverError where the trash can't be read."""
    layers = core.ask(requests.map())
    mounts = core.ask(requests.mounts())
    images: list[object] = core.call(core.actors.images, m.ListImages())
    pool: m.PoolFacts = core.call(core.actors.pool, m.PoolStatus())
    actors = core.waiting().actors
    return Metrics(
        layers=len(layers),
        layer_bytes=sum(layer.diff_size for layer in layers.values()),
        layer_references=sum(layer.references for layer in layers.values()),
        mounts=dict(Counter(mount.state for mount in mounts)),
        mounted=sum(mount.mount_count > 0 for mount in mounts),
        images=len(images),
        trash=_entries(core.disk.trash),
        workers=pool.workers,
        idle_workers=pool.idle,
        running_jobs=pool.running,
        queued_jobs=pool.queued,
        mailboxes={actor.name: actor.mailbox for actor in actors},
        requests=requests_of(actors),
        jobs=pool.jobs,
        restarts=core.generation,
    )


def requests_of(actors: Iterable[ActorStatus]) -> Mapping[str, int]:
    """Return how often actors were asked what, together."""
    found: Counter[str] = Counter()
    for actor in actors:
        found.update(actor.asked)
    return dict(found)


def _entries(path: str) -> int:
    try:
        return len(os.listdir(path))
    except OSError as error:
        raise DriverError.from_os_error("list", path, error) from error
