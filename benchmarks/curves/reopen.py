"""Opening a root with many layers and read-write layers, and what each of them takes in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.dockerd import private_dockerd
from benchmarks.timing import Table
from tests.support.tars import layer_tar

_DEPTH = 100
_THREADS = 4


def measure(bench: Bench) -> None:
    """1,000 layers and as many read-write layers, then 10,000 of each."""
    empty = bench.directory()
    with bench.store(root=empty):
        pass
    memory = {"no layer": _open(empty)["memory"]}
    for count in (1_000, 10_000):
        table = bench.table(f"open a root of {count:,} layers and {count:,} read-write layers")
        root = bench.directory()
        _register(bench, root, count)
        memory[f"{count:,} layers"] = _open(root)["memory"]
        _create(bench, root, count)
        for _ in range(bench.rounds):
            facts = _open(root)
            if (facts["layers"], facts["mounts"]) != (count, count):
                raise RuntimeError(f"{root} was opened with {facts}")
            table.times["layerstore, open"].append(facts["seconds"])
            if bench.dockerd is not None:
                _time_dockerd(bench, root, empty, table)
        memory[f"{count:,} layers and read-write layers"] = facts["memory"]
        table.print()
    print("\nresident memory of a process that has the store open")
    for what, taken in memory.items():
        print(f"  {what:42}{taken / 1e6:8.1f} MB")
    big, small = (memory[f"{count:,} layers"] for count in (10_000, 1_000))
    both = memory["10,000 layers and read-write layers"]
    print(f"  {'each layer':42}{(big - small) / 9_000:8.0f} bytes")
    print(f"  {'each read-write layer':42}{(both - big) / 10_000:8.0f} bytes", flush=True)


def _register(bench: Bench, root: Path, count: int) -> None:
    with bench.store(root=root) as store, ThreadPoolExecutor(_THREADS) as threads:

        def chain(first: int) -> None:
            parent = None
            for number in range(first, first + _DEPTH):
                parent = store.register(layer_tar({f"f{number}": b"1"}), parent).chain_id

        list(threads.map(chain, range(0, count, _DEPTH)))


def _create(bench: Bench, root: Path, count: int) -> None:
    with bench.store(root=root) as store, ThreadPoolExecutor(_THREADS) as threads:
        chains = sorted(store.map())
        list(threads.map(lambda n: store.create_rw_layer(f"rw{n}", chains[n]), range(count)))


def _open(root: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.curves.open_once", str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    facts: dict[str, float] = json.loads(done.stdout)
    return facts


def _time_dockerd(bench: Bench, root: Path, empty: Path, table: Table) -> None:
    """Time its start less the start of an empty root: most of that is the daemon's own."""
    taken = []
    for data in (empty, root):
        start = time.perf_counter()
        with private_dockerd(str(bench.place), data_root=str(data), driver="overlay2"):
            taken.append(time.perf_counter() - start)
    table.times["an empty root, start of dockerd"].append(taken[0])
    table.times["dockerd, start less that of an empty root"].append(taken[1] - taken[0])
