"""How long asking for a layer takes, while the process idles and while it computes."""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.bench import Bench
from benchmarks.timing import Table
from layerstore import LayerStore
from tests.support.tars import layer_tar

_ASKED = 2000
_ASKED_WHEN_BUSY = 200


def measure(bench: Bench) -> None:
    """`get` and release of a layer, p50 and p99."""
    table = bench.table("one get and one release of a layer: p50 and p99")
    with bench.store() as store:
        chain = store.register(layer_tar({"a": b"1"})).chain_id
        for _ in range(bench.rounds):
            _sample(table, "idle", store, chain, _ASKED)
            stop = threading.Event()
            burner = threading.Thread(target=_burn, args=(stop,))
            burner.start()
            try:
                _sample(table, "one thread computing", store, chain, _ASKED_WHEN_BUSY)
            finally:
                stop.set()
                burner.join()
    table.print()


def _burn(stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        for _ in range(1000):
            number = (number * 31 + 7) % 1_000_003


def _sample(table: Table, when: str, store: LayerStore, chain: str, count: int) -> None:
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        store.get(chain).release()
        taken.append(time.perf_counter() - start)
    cuts = statistics.quantiles(taken, n=100)
    table.times[f"layerstore, {when}, p50"].append(cuts[49])
    table.times[f"layerstore, {when}, p99"].append(cuts[98])
