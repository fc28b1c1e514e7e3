"""How long calls take while the caller's process idles and while its threads compute, in each way.

A store's actors are in threads of the caller (`thread`), in a child of it (`process`), or with an
owner to which the caller is attached (`attached`). All are open at once and take turns; the ratios
are to `thread` in the same run.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from benchmarks.bench import Bench, await_children
from benchmarks.timing import in_units
from layerstore import LayerStore
from tests.support.tars import layer_tar
from tests.support.ways.fixtures import WAYS
from tests.support.ways.opening import Opening, Way
from tests.support.ways.owners import Owners

_SECONDS = 0.7
"""For each kind of call in a round, at most."""
_CALLS = 300
_ROUNDS = 3
_SCENES = {
    "idle": (0, 5e-3),
    "1 busy thread": (1, 5e-3),
    "4 busy threads": (4, 5e-3),
    "1 busy thread, and a switch interval of 1 ms": (1, 1e-3),
}
"""Threads that compute, and the interpreter's switch interval, which is 5 ms by default."""
_IDLE, _ONE, *_ = _SCENES
_WARM = 2
_ASK, _GET = "count_layers", "get, release"
_CREATE, _MOUNT, _RELEASE = "create, release", "mount, unmount", "release"
_AIMS = {  # with the actors in a process of their own, beside one busy thread
    (_ONE, _GET, "process"): (None, 6e-3),
    (_ONE, _CREATE, "process"): (6e-3, 12e-3),
}
_AIM_OF_A_CALL = 80e-6
"""Beyond what it takes within the process, while that idles."""

Key = tuple[str, str, Way]
Times = dict[Key, list[float]]


def measure(bench: Bench) -> None:
    """Layers are got, read-write layers made, mounted and removed; p50 and p99 of each."""
    times: Times = defaultdict(list)
    with _stores(bench) as stores:
        bases: dict[Way, str] = {}
        for way, store in stores.items():
            bases[way] = store.register(layer_tar({"a": b"1"})).chain_id
            await_children(store, _WARM)
        for _ in range(min(bench.rounds, _ROUNDS)):
            for scene, (way, store) in itertools.product(_SCENES, stores.items()):
                with _computing(*_SCENES[scene]):
                    _sample(times, scene, way, store, bases[way])
    _print(times)
    _print_memory(bench)


@contextlib.contextmanager
def _stores(bench: Bench) -> Iterator[dict[Way, LayerStore]]:
    """Open a store in each of the ways."""
    owners = Owners()
    try:
        with contextlib.ExitStack() as stack:
            stores: dict[Way, LayerStore] = {}
            for way in WAYS:
                opening = Opening(way, owners, bench.directory(), {"durability": "relaxed"})
                stack.callback(opening.close)
                stores[way] = opening.store()
            yield stores
    finally:
        owners.end()


@contextlib.contextmanager
def _computing(threads: int, interval: float) -> Iterator[None]:
    """Have threads of this process compute meanwhile, and take turns after an interval."""
    stop, before = threading.Event(), sys.getswitchinterval()
    sys.setswitchinterval(interval)
    burners = [threading.Thread(target=_burn, args=(stop,)) for _ in range(threads)]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        stop.set()
        for burner in burners:
            burner.join()
        sys.setswitchinterval(before)


def _burn(stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        for _ in range(1000):
            number = (number * 31 + 7) % 1_000_003


def _sample(times: Times, scene: str, way: Way, store: LayerStore, base: str) -> None:
    def get() -> None:
        store.get(base).release()

    def create() -> None:
        made = store.create_rw_layer("sample", base)
        start = time.perf_counter()
        made.release()
        times[scene, _RELEASE, way].append(time.perf_counter() - start)

    _repeat(times[scene, _ASK, way], store.count_layers)
    _repeat(times[scene, _GET, way], get)
    _repeat(times[scene, _CREATE, way], create)
    with store.create_rw_layer("mounted", base) as rw:

        def mount() -> None:
            rw.mount()
            rw.unmount()

        _repeat(times[scene, _MOUNT, way], mount)


def _repeat(taken: list[float], act: Callable[[], object]) -> None:
    end = time.perf_counter() + _SECONDS
    for _ in range(_CALLS):
        start = time.perf_counter()
        act()
        now = time.perf_counter()
        taken.append(now - start)
        if now > end:
            return


def _print(times: Times) -> None:
    print("\np50 and p99 of calls, and how often what `thread` takes", flush=True)
    print(f"  {'':17}" + "".join(f"{way:>36}" for way in WAYS))
    for scene in _SCENES:
        print(f"  {scene}")
        for kind in (_ASK, _GET, _CREATE, _MOUNT, _RELEASE):
            first = _cuts(times[scene, kind, WAYS[0]])
            line = f"    {kind:15}"
            for way in WAYS:
                for here, there in zip(_cuts(times[scene, kind, way]), first, strict=True):
                    line += f"{in_units(here)} {here / there:5.2f}x"
            print(line + _aim(times, scene, kind))
    for way in WAYS[1:]:
        more = _cuts(times[_IDLE, _ASK, way])[0] - _cuts(times[_IDLE, _ASK, WAYS[0]])[0]
        print(
            f"  a call over the socket, idle, {way}: {in_units(more)} more"
            f" (aim: at most {in_units(_AIM_OF_A_CALL)})"
        )


def _cuts(taken: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(taken * 2 if len(taken) == 1 else taken, n=100, method="inclusive")
    return cuts[49], cuts[98]


def _aim(times: Times, scene: str, kind: str) -> str:
    told = ""
    for way in WAYS:
        aims = _AIMS.get((scene, kind, way), (None, None))
        found = _cuts(times[scene, kind, way])
        for name, aim, is_so in zip(("p50", "p99"), aims, found, strict=True):
            if aim is not None:
                met = "met" if is_so < aim else "not met"
                told += f"  {way}, aim of {name}:{in_units(aim)}, {met}"
    return told


# Memory

_HOLDS = """
import json, os, sys
from benchmarks.bench import await_children
from layerstore import LayerStore
from layerstore.drivers.system.proc_children import children_of
from tests.support.tars import layer_tar
from tests.support.ways.marks import pid_of

def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) << 10

way, root = sys.argv[1:]
store = LayerStore.attach(root) if way == "attached" else LayerStore(root, engine=way)
with store:
    base = store.register(layer_tar({"a": b"1"})).chain_id
    await_children(store, 2)
    with store.create_rw_layer("web", base) as rw, rw.mounted():
        pass
    engine = pid_of(store)
    workers = [child for child in children_of(engine) if child != os.getpid()]
    print(json.dumps([pss(os.getpid()), pss(engine), sum(map(pss, workers))]))
"""


def _print_memory(bench: Bench) -> None:
    print("\nresident memory (Pss) of the caller, of whoever has the actors, and with its workers")
    for way in WAYS:
        owners, root = Owners(), str(bench.directory())
        try:
            if way == "attached":
                owners.open(root, {})
            command = [sys.executable, "-c", _HOLDS, way, root]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            owners.check()
        finally:
            owners.end()
        caller, engine, workers = json.loads(done.stdout)
        sizes = (caller, engine, engine + workers)
        print(f"  {way:10}" + "".join(f"{size / (1 << 20):8.1f} MiB" for size in sizes), flush=True)
