"""Traces for tests: a real one of everything a store does, and made-up ones."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layerstore import InvalidTar, LayerDoesNotExist, LayerStore, StillMounted
from layerstore.drivers.records.journal import Journal
from layerstore.drivers.records.journal_format import Row
from layerstore.drivers.records.journal_read import read_sessions
from tests.support.tars import layer_tar

MADE, FORKED = 24, 2
"""Read-write layers that record_everything makes from an image, and of those."""


def record_everything(place: Path, driver: str = "vfs") -> Path:
    """Use a store in many ways and return the journal of it."""
    journal = place / "trace"
    with LayerStore(
        place / "store", driver=driver, durability="relaxed", workers=2, trace_file=journal
    ) as store:
        base = store.register(layer_tar({"a": b"1"}))
        top = store.register(layer_tar({"b": b"2" * 5000}), base.chain_id)
        with contextlib.suppress(LayerDoesNotExist):
            store.get("sha256:" + "0" * 64)
        with contextlib.suppress(InvalidTar):
            store.register(b"no tar at all" * 100)
        with ThreadPoolExecutor(8) as threads:
            layers = list(
                threads.map(lambda n: store.create_rw_layer(f"job-{n}", top.chain_id), range(MADE))
            )
            list(threads.map(lambda layer: layer.mount(), layers[:3]))
            list(threads.map(lambda layer: layer.changes(), layers[:2]))
            origins = layers[:FORKED]
            forks = list(threads.map(lambda layer: layer.fork(f"{layer.name}-fork"), origins))
            forks[0].reset()
            with contextlib.suppress(StillMounted):
                layers[0].reset()
            layers += forks
            list(threads.map(lambda layer: layer.release(), layers))
        with top.tar_stream() as stream:
            stream.read()
        top.release()
        store.drain()
    return journal


def made_up(count: int, seed: int = 1) -> Iterator[Row]:
    """Give records of `count` messages as a busy store has them."""
    choose = random.Random(seed)  # noqa: S311
    actors = ["layers", "mounts", "images", "pool", *(f"pool-worker-{n}" for n in range(1, 5))]
    at = 1_000_000
    for number in range(1, count + 1):
        cause = number - 1 if number % 8 != 1 else 0
        request = number - (number - 1) % 8
        sender = "caller" if cause == 0 else choose.choice(actors)
        at += choose.randrange(1_000, 300_000)
        started = at + choose.randrange(1_000, 100_000)
        ended = started + choose.randrange(1_000, 200_000)
        kind = choose.choice(["Submit", "Run", "Done", "Finished"]) if cause else "ReleaseRWLayer"
        outcome = "ok" if choose.randrange(50) else "DriverError"
        receiver = choose.choice(actors)
        summary = f"job-{request}"
        yield (
            number, cause, request, sender, receiver, kind, summary, at, started, ended, outcome, {}
        )  # fmt: skip


def write_rows(path: Path, rows: Iterator[Row]) -> Path:
    """Write a journal with these records."""
    journal = Journal(str(path), root="/var/lib/layerstore", driver="overlay2", row=lambda row: row)
    for row in rows:
        journal.put(row)
    journal.close()
    return path


def row(number: int, summary: str = "") -> Row:
    """Return one made-up record, for journals in which only the numbers matter."""
    return (number, 0, number, "caller", "layers", "MapLayers", summary, 1, 2, 3, "ok", {})


def write(path: Path, count: int, **options: int) -> None:
    """Write a journal of such records, numbered from 1."""
    journal = Journal(str(path), root="/r", driver="vfs", row=row, **options)
    for number in range(1, count + 1):
        journal.put(number)
    journal.close()


def numbers(path: Path) -> list[int]:
    """Read the numbers of all records in a file or directory."""
    return [found[0] for session in read_sessions(str(path)) for found in session.rows]
