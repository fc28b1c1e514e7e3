"""What more workers bring, and how cost grows with size."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import tars
from benchmarks.bench import Bench
from benchmarks.tar_pass import small_files
from benchmarks.timing import Table
from tests.support.tars import many_files

_TARS = 8
_LAYERS = 200
_SIZES = (10, 100, 1_000, 10_000)


def measure_workers(bench: Bench) -> None:
    """Eight tars at once, and 200 creations and removals, by 1, 2, 4 and 8 workers."""
    numbers = [number for number in (1, 2, 4, 8) if number <= 2 * (os.cpu_count() or 1)]
    register = bench.table(f"{_TARS} tars of 1,000 files, registered at once")
    churn = bench.table(f"{_LAYERS} read-write layers created and removed, from {_TARS} threads")
    archives = [bench.place / f"tar-{number}" for number in range(_TARS)]
    for archive in archives:
        small_files(str(archive), 1000, 4096)
    for _ in range(bench.rounds):
        for workers in numbers:
            with bench.store(workers=workers) as store, ThreadPoolExecutor(_TARS) as threads:
                with register.timed(f"layerstore, workers={workers}"):
                    layers = list(threads.map(store.register, archives))
                chain = layers[0].chain_id

                def use(number: int) -> None:
                    store.create_rw_layer(f"rw{number}", chain).release()  # noqa: B023

                with churn.timed(f"layerstore, workers={workers}"):
                    list(threads.map(use, range(_LAYERS)))
    register.print()
    churn.print()


def measure_curve(bench: Bench) -> list[Table]:
    """Tars of 10 to 10,000 small files; returns the tables of taking them in."""
    found = []
    for count in _SIZES:
        archive = Path(bench.place, f"curve-{count}.tar")
        archive.write_bytes(many_files(count))
        taken_in = bench.table(f"{count:,} small files, taken in", files=count)
        given_back = bench.table(f"{count:,} small files, given back", files=count)
        tars.compare(bench, archive, taken_in, given_back)
        taken_in.print()
        given_back.print()
        found.append(taken_in)
    return found
