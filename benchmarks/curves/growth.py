"""How long commands and calls take beside what there is: images, names, read-write layers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.curves.plot import Lines
from layerstore import LayerStore
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar

_COUNTS = (100, 1_000, 10_000)
_TAGS = 10
"""Of each repository; every image has one name."""
_THREADS = 4
_LAYERSTORE = Path(sys.executable).with_name("layerstore")
_PIECE = 1_000
"""Images in one archive, of which that is the most."""
_MANY = 8
_COMMANDS = {
    "info": ["info"],
    "images -q": ["images", "-q"],
    "images": ["images"],
    "images app1": ["images", "app1"],
    "ls": ["ls"],
    "ls --filter ancestor": ["ls", "--filter", "ancestor=app1:1"],
    "inspect": ["inspect", "app1:1"],
    "history": ["history", "app1:1"],
    "tag": ["tag", "app1:1", "other:{number}"],
    "create": ["create", "--image", "app1:1", "made{number}"],
    "mount": ["mount", "rw1"],
    "umount": ["umount", "rw1"],
    "diff": ["diff", "rw2"],
    "cp": ["cp", "rw2:/f", "{place}/f"],
    "commit": ["commit", "rw2", "committed:{number}"],
    "export": ["export", "-o", "/dev/null", "rw2"],
    "import": ["import", "{place}/layer.tar", "imported:{number}"],
    "load": ["load", "-i", "{place}/image.tar"],
    "du": ["du"],
    "rm of one": ["rm", "rw{number}"],
    "rmi of one": ["rmi", "-f", "app0:{number}"],
    "rmi of eight": ["rmi", "-f", *(f"app{number}:9" for number in range(1, 1 + _MANY))],
    "save": ["save", "-o", "/dev/null", "app1:1"],
    "prune": ["prune", "-f"],
    "check": ["check"],
}
"""What is typed; `{number}` is another one each round, `{place}` a directory with archives."""


def measure_growth(bench: Bench) -> Lines:
    """Commands and calls on roots of 100 to 10,000 images, each named and used once."""
    calls: dict[str, list[float]] = {}
    commands: dict[str, list[float]] = {}
    for count in _COUNTS:
        root, place = bench.directory(), bench.directory()
        (place / "layer.tar").write_bytes(layer_tar({"g": b"y"}))
        (place / "image.tar").write_bytes(_archive(_COUNTS[-1], 1))
        with bench.store(root=root) as store:
            _fill(store, count, calls)
            _call(store, calls)
        for name, words in _COMMANDS.items():
            seconds = _seconds(root, place, words, bench.rounds if "{number}" in str(words) else 1)
            commands.setdefault(name, []).append(seconds)
    _print("calls, us each", calls, 1e6)
    _print("commands, ms", commands, 1e3)
    taken = {f"layerstore {name}": seconds for name, seconds in commands.items()} | calls
    return {name: list(zip(_COUNTS, seconds, strict=True)) for name, seconds in taken.items()}


def _fill(store: LayerStore, count: int, calls: dict[str, list[float]]) -> None:
    archives = [_archive(first, min(_PIECE, count)) for first in range(0, count, _PIECE)]
    start = time.perf_counter()
    for archive in archives:
        store.images.load(io.BytesIO(archive))
    calls.setdefault("load of an image", []).append((time.perf_counter() - start) / count)
    with ThreadPoolExecutor(_THREADS) as threads:
        start = time.perf_counter()
        numbers = range(count)
        list(threads.map(lambda n: store.images.create(f"rw{n}", _name(n)).name, numbers))
        calls.setdefault("create", []).append((time.perf_counter() - start) / count)


def _name(number: int) -> str:
    return f"app{number // _TAGS}:{number % _TAGS}"


def _archive(first: int, count: int) -> bytes:
    """Return a docker archive of images that share their layer and differ in their history."""
    members: dict[str, bytes] = {}
    entries = []
    layer = layer_tar({"f": b"x"})
    for number in range(first, first + count):
        history = [{"comment": str(number)}]
        members |= docker_archive([layer], [_name(number)], history=history)
        entries += json.loads(members["manifest.json"])
    return as_tar({**members, "manifest.json": json.dumps(entries).encode()})


def _call(store: LayerStore, calls: dict[str, list[float]]) -> None:
    image_id = store.images.get("app0:1").id
    work: dict[str, Callable[[int], object]] = {
        "get by name": lambda _: store.images.get("app0:1"),
        "get by ID's start": lambda _: store.images.get(image_id[7:19]),
        "tag": lambda number: store.images.tag("app0:1", f"more:{number}"),
        "rmi of a tag": lambda number: store.images.remove(f"more:{number}"),
        "create, release": lambda number: store.images.create(f"x{number}", "app0:1").release(),
        "get, release": lambda _: store.get_rw_layer("rw1").release(),
        "rmi of an image": lambda number: store.images.remove(f"app0:{2 + number}", force=True),
    }
    for name, call in work.items():
        rounds = 5 if name == "rmi of an image" else 50
        start = time.perf_counter()
        for number in range(rounds):
            call(number)
        calls.setdefault(name, []).append((time.perf_counter() - start) / rounds)


def _seconds(root: Path, place: Path, words: list[str], rounds: int) -> float:
    best = float("inf")
    for number in range(rounds):
        typed = [word.format(number=number + 7, place=place) for word in words]
        start = time.perf_counter()
        done = subprocess.run(
            [_LAYERSTORE, "--root", str(root), *typed],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        best = min(best, time.perf_counter() - start)
        if done.returncode:
            print(f"  {' '.join(typed)}: {done.stderr.decode()}")
    return best


def _print(title: str, rows: dict[str, list[float]], unit: float) -> None:
    """Print medians by how much there is, and how much the last ten times more cost."""
    print(f"\n{title:24}" + "".join(f"{count:>10,}" for count in _COUNTS) + "   last step")
    for name, taken in rows.items():
        figures = "".join(f"{seconds * unit:10.1f}" for seconds in taken)
        print(f"  {name:22}{figures}{taken[-1] / taken[-2]:10.1f} x", flush=True)
