"""What tracing costs: 100 read-write layers removed from 100 threads, with and without.

Run as root: `python -m benchmarks.parts.trace_cost [DIRECTORY] [--seconds N] [--durability D]`.
Three
stores are open at once (no trace, the ring, the ring and a journal); each round gives every one of
them the same work, in turn and in another order each time. Ratios are of the same round, to the
store without a trace, and printed as their median with quartiles; beside them stands the ratio of
what the least disturbed rounds took, the fastest tenth of each.

The time until all are answered is measured twice: as wall-clock, which on a busy machine is mostly
others' work, and as this process's processor time, which is where a trace costs.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layerstore import LayerStore
from tests.support.tars import layer_tar

_LAYERS = 100
_MODES = ("no trace", "no trace again", "ring", "ring and journal")

Clock = Callable[[], float]
_CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}
Times = dict[tuple[str, str], list[float]]


def remove_all(store: LayerStore, chain: str, threads: ThreadPoolExecutor) -> dict[str, float]:
    """Make 100 layers and remove them; returns the seconds of the removals by each clock."""
    layers = [store.create_rw_layer(f"rw-{number}", chain) for number in range(_LAYERS)]
    store.drain()
    gc.collect()
    before = {name: clock() for name, clock in _CLOCKS.items()}
    list(threads.map(lambda layer: layer.release(), layers))
    taken = {name: clock() - before[name] for name, clock in _CLOCKS.items()}
    store.drain()
    return taken


def measure(place: Path, seconds: float, durability: str) -> Times:
    times: Times = defaultdict(list)
    with contextlib.ExitStack() as stack:
        stores = {}
        for mode in _MODES:
            store = stack.enter_context(
                LayerStore(
                    tempfile.mkdtemp(dir=place),
                    durability=durability,  # type: ignore[arg-type]
                    trace_size=10_000 if "ring" in mode else 0,
                    trace_file=place / "journal" if "journal" in mode else None,
                )
            )
            stores[mode] = (store, store.register(layer_tar({"a": b"1"})).chain_id)
        threads = stack.enter_context(ThreadPoolExecutor(_LAYERS))
        list(threads.map(time.sleep, [0.01] * _LAYERS))  # every thread is there
        modes = list(_MODES)
        for mode in modes:
            remove_all(*stores[mode], threads)  # warms up
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            random.shuffle(modes)
            for mode in modes:
                for clock, taken in remove_all(*stores[mode], threads).items():
                    times[mode, clock].append(taken)
    return times


def fastest_tenth(taken: list[float]) -> float:
    return statistics.mean(sorted(taken)[: max(len(taken) // 10, 1)])


def report(times: Times) -> None:
    for clock in _CLOCKS:
        count = len(times[_MODES[0], clock])
        print(f"\n{_LAYERS} removals, {clock} time until all are answered, {count} rounds")
        base = times[_MODES[0], clock]
        for mode in _MODES:
            taken = times[mode, clock]
            ratios = [one / other for one, other in zip(taken, base, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            calm = fastest_tenth(taken) / fastest_tenth(base)
            print(
                f"  {mode:18}{statistics.median(taken) * 1e3:9.2f} ms"
                f"   ratio {middle:.3f} ({low:.3f}-{high:.3f})   of the fastest tenth {calm:.3f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="/var/tmp")  # noqa: S108
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--durability", choices=("durable", "relaxed"), default="durable")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="layerstore-bench-", dir=options.directory))
    try:
        report(measure(place, options.seconds, options.durability))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
