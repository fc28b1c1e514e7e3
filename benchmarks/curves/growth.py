"""How long commands and calls take beside what there is: images, names, layers, mounts."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.bench import Bench
from benchmarks.commands import OWNER
from benchmarks.curves import typed
from benchmarks.curves.plot import Lines
from benchmarks.curves.typed import name_of
from layerstore import LayerStore
from tests.store.sharing.elsewhere import python
from tests.support.archives import as_tar, docker_archive
from tests.support.busybox import image_tar
from tests.support.registries.daemon import PROGRAM, Registry, running
from tests.support.registries.images import LAYER, put_image
from tests.support.tars import layer_tar

COUNTS = (100, 1_000, 10_000)
_THREADS = 4
_PIECE = 1_000
"""Images in one archive, of which that is the most."""
_BEND = 2.0
"""What takes so many times as long where there is most bends upward."""
_BASE = layer_tar({"base": b"x"})
Taken = dict[str, list[list[float]]]
"""By what is done, and by how much there is: the seconds of each round."""


def measure_growth(bench: Bench, most: int = COUNTS[-1]) -> Lines:
    """Commands and calls on roots of 100 to 10,000 images, each with a layer, a name and a use."""
    counts = (*(count for count in COUNTS if count < most), max(most, COUNTS[0]))
    calls: Taken = {}
    commands: Taken = {}
    with contextlib.ExitStack() as stack:
        registry = None
        if shutil.which(PROGRAM):
            registry = stack.enter_context(running(bench.directory()))
            _put_images(registry, bench.rounds)
        else:
            print(f"{PROGRAM} is not installed, so nothing is pulled or pushed")
        for count in counts:
            _measure(bench, count, registry, calls, commands)
    _print("calls, us each", counts, calls, 1e6)
    _print("commands, ms", counts, commands, 1e3)
    taken = {f"layerstore {name}": seconds for name, seconds in commands.items()} | calls
    print(f"\n{bending(taken, counts)}", flush=True)
    return {
        name: [(count, statistics.median(each)) for count, each in zip(counts, found, strict=True)]
        for name, found in taken.items()
    }


def bending(taken: Mapping[str, list[list[float]]], counts: tuple[int, ...]) -> str:
    """Say in a line what takes much longer where there is most: in its best round there, too."""
    found = [
        f"{name} ({min(each[-1]) / statistics.median(each[0]):.1f} x)"
        for name, each in taken.items()
        if min(each[-1]) > _BEND * statistics.median(each[0])
    ]
    span = f"from {counts[0]:,} to {counts[-1]:,} of each"
    if not found:
        return f"nothing bends upward {span}"
    return f"more than {_BEND:g} times as long {span}: {', '.join(found)}"


def _measure(
    bench: Bench, count: int, registry: Registry | None, calls: Taken, commands: Taken
) -> None:
    root, place = bench.directory(), bench.directory()
    for number in typed.numbers(bench.rounds):
        (place / f"layer{number}.tar").write_bytes(layer_tar({"g": str(number).encode()}))
        (place / f"image{number}.tar").write_bytes(_archive(COUNTS[-1] + number, 1))
    with bench.store(root=root) as store:
        _fill(store, count, calls)
        for name, seconds in _calls(store):
            calls.setdefault(name, []).append(seconds)
        store.images.load(io.BytesIO(image_tar()))
        values: dict[str, object] = {
            "place": place,
            "mount_id": store.get_mount_id("rw1")[:12],
            "chain_id": store.images.get(name_of(1)).layers[-1],
        }

    def type_each(table: Mapping[str, Sequence[str]]) -> None:
        for name, words in table.items():
            seconds = typed.seconds_of(root, words, bench.rounds, values)
            commands.setdefault(name, []).append(seconds)

    type_each(typed.OPENING)
    with python(OWNER, root), typed.runner(root):
        type_each(typed.ATTACHING)
        if registry is not None:
            values["host"] = registry.host
            type_each(typed.REGISTRY)


def _put_images(registry: Registry, rounds: int) -> None:
    for number in typed.numbers(rounds):
        layers = [_BASE, layer_tar({"pulled": str(number).encode()})]
        put_image(registry, "bench/app", str(number), [(one, LAYER) for one in layers], layers)


def _fill(store: LayerStore, count: int, calls: Taken) -> None:
    archives = [_archive(first, min(_PIECE, count - first)) for first in range(0, count, _PIECE)]
    start = time.perf_counter()
    for archive in archives:
        store.images.load(io.BytesIO(archive))
    calls.setdefault("load of an image", []).append([(time.perf_counter() - start) / count])
    with ThreadPoolExecutor(_THREADS) as threads:
        start = time.perf_counter()
        numbers = range(count)
        list(threads.map(lambda n: store.images.create(f"rw{n}", name_of(n)).name, numbers))
        calls.setdefault("create", []).append([(time.perf_counter() - start) / count])


def _archive(first: int, count: int) -> bytes:
    """Return a docker archive of images that share their first layer and each have one more."""
    members: dict[str, bytes] = {}
    entries = []
    for number in range(first, first + count):
        layers = [_BASE, layer_tar({"f": str(number).encode()})]
        made = docker_archive(layers, [name_of(number)])
        (entry,) = json.loads(made.pop("manifest.json"))
        entry["Layers"] = ["base.tar", f"{number}.tar"]
        members |= zip(entry["Layers"], layers, strict=True)
        members[entry["Config"]] = made[entry["Config"]]
        entries.append(entry)
    return as_tar({**members, "manifest.json": json.dumps(entries).encode()})


def _calls(store: LayerStore) -> Iterator[tuple[str, list[float]]]:
    """Give what is called in this process, and the seconds of each call."""
    image = store.images.get("app0:1")
    mount_id = store.get_mount_id("rw1")
    work: dict[str, Callable[[int], object]] = {
        "get by name": lambda _: store.images.get("app0:1"),
        "get by ID's start": lambda _: store.images.get(image.id[7:19]),
        "layer by ID's start": lambda _: store.find_layer(image.layers[-1][7:19]),
        "mount by ID's start": lambda _: store.find_rw_layer(mount_id[:12]),
        "count of layers": lambda _: store.count_layers(),
        "tag": lambda number: store.images.tag("app0:1", f"more:{number}"),
        "rmi of a tag": lambda number: store.images.remove(f"more:{number}"),
        "create, release": lambda number: store.images.create(f"x{number}", "app0:1").release(),
        "get, release": lambda _: store.get_rw_layer("rw1").release(),
        "rmi of an image": lambda number: store.images.remove(name_of(90 + number), force=True),
    }
    for name, call in work.items():
        taken = []
        for number in range(5 if name == "rmi of an image" else 50):
            start = time.perf_counter()
            call(number)
            taken.append(time.perf_counter() - start)
        yield name, taken


def _print(title: str, counts: tuple[int, ...], rows: Taken, unit: float) -> None:
    """Print medians by how much there is, and how much longer it takes where there is most."""
    print(f"\n{title:24}" + "".join(f"{count:>10,}" for count in counts) + "   most / least")
    for name, taken in rows.items():
        medians = [statistics.median(each) for each in taken]
        figures = "".join(f"{seconds * unit:10.1f}" for seconds in medians)
        print(f"  {name:22}{figures}{medians[-1] / medians[0]:10.1f} x", flush=True)
