"""The command's verbs that show what a store does: metrics and waiting; each returns the status.

Owns the names of the figures, which are Prometheus's without `layerstore_`, and the keys of the
JSON. All that comes from a store is escaped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from layerstore.actors.watching.waiting import about_actors, about_request
from layerstore.command.opening import watched
from layerstore.command.output.documents import print_json
from layerstore.command.output.rows import Listing
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.system.printable import escaped

if TYPE_CHECKING:
    from layerstore.actors.watching.waiting import PendingRequest
    from layerstore.api.store import LayerStore
    from layerstore.observe.metrics import Metrics

FIGURES = Listing({"Name": "NAME", "Of": "OF", "Value": "VALUE"}, ("Name", "Of", "Value"))
WAITING = Listing(
    {
        "Number": "NUMBER",
        "Kind": "KIND",
        "About": "ABOUT",
        "Actor": "ACTOR",
        "Seconds": "SECONDS",
        "WaitsFor": "WAITS FOR",
        "Behind": "BEHIND",
    },
    ("Number", "Kind", "About", "Actor", "Seconds", "WaitsFor", "Behind"),
)


def metrics(store: LayerStore, options: argparse.Namespace) -> int:
    """Print what a store holds, has done and is doing."""
    if options.prometheus:
        print(_as_prometheus(store), end="")
        return 0
    found = store.metrics()
    if options.json:
        return print_json(msgspec.to_builtins(found))
    rows = [
        {"Name": name, "Of": escaped(of), "Value": value} for name, of, value in _figures(found)
    ]
    FIGURES.show(rows, options.format)
    return 0


def _as_prometheus(store: LayerStore) -> str:
    try:
        from layerstore.prometheus import text  # noqa: PLC0415 - not everybody has what it needs
    except ImportError as error:
        reason = f"it needs what pip install 'layerstore[prometheus]' brings ({error})"
        raise InvalidArgument("--prometheus", reason) from error
    return text(store)


def _figures(found: Metrics) -> Iterator[tuple[str, str, str]]:
    yield "layers", "", str(found.layers)
    yield "layer_bytes", "", str(found.layer_bytes)
    yield "layer_references", "", str(found.layer_references)
    for state, count in found.mounts.items():
        yield "mounts", state, str(count)
    yield "mounted", "", str(found.mounted)
    yield "images", "", str(found.images)
    yield "trash_entries", "", str(found.trash)
    yield "workers", "", str(found.workers)
    yield "idle_workers", "", str(found.idle_workers)
    yield "running_jobs", "", str(found.running_jobs)
    yield "queued_jobs", "", str(found.queued_jobs)
    for actor, count in found.mailboxes.items():
        yield "mailbox", actor, str(count)
    yield "restarts", "", str(found.restarts)
    for kind, count in sorted(found.requests.items()):
        yield "requests", kind, str(count)
    for job in found.jobs:
        of = f"{job.kind} {job.outcome}"
        yield "jobs", of, str(job.count)
        yield "job_wait_seconds", of, f"{job.waited:.6f}"
        yield "job_work_seconds", of, f"{job.worked:.6f}"


def waiting(options: argparse.Namespace) -> int:
    """Print every call without an answer and what it waits for, and what each actor is at."""
    with watched(options) as store:
        found = store.waiting()
    if options.json:
        return print_json(msgspec.to_builtins(found))
    if options.format is not None:
        WAITING.show([_row(request) for request in found.requests], options.format)
        return 0
    lines = [line for request in found.requests for line in about_request(request)]
    for line in [*lines, *about_actors(found)]:
        print(escaped(line))
    return 0


def _row(request: PendingRequest) -> dict[str, str]:
    return {
        "Number": str(request.sequence),
        "Kind": escaped(request.kind),
        "About": escaped(request.summary),
        "Actor": escaped(request.actor),
        "Seconds": f"{request.seconds:.3f}",
        "WaitsFor": escaped("; ".join(request.waits_for)),
        "Behind": " ".join(map(str, request.behind)),
    }
