"""Creating and removing read-write layers from many threads at once."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from benchmarks.bench import DURABILITIES, Bench, Storage
from benchmarks.dockerd import Dockerd
from benchmarks.tar_pass import small_files
from benchmarks.timing import Table
from layerstore import LayerStore
from tests.support.archives import as_tar, docker_archive

_FILES = 20
_THREADS = 100
_COMMANDS_AT_ONCE = 2 * (os.cpu_count() or 1)

T = TypeVar("T")
R = TypeVar("R")


def measure(bench: Bench) -> None:
    """100 and 1,000 of them."""
    base = bench.place / "base.tar"
    small_files(str(base), 1000, 100)
    if bench.dockerd is not None:
        image = bench.place / "base-image.tar"
        image.write_bytes(as_tar(docker_archive([base.read_bytes()], ["base:1"])))
        bench.dockerd.load(str(image))
    for count in (100, 1000):
        rounds = bench.rounds if count == 100 else max(bench.rounds // 2, 1)
        create = bench.table(f"{count} read-write layers, created from {_THREADS} threads")
        remove = bench.table(f"{count} of {_FILES} files each, removed from {_THREADS} threads")
        for _ in range(rounds):
            _plain(bench, count, create, remove)
            for durability in DURABILITIES:
                with bench.store(durability) as store:
                    _ours(store, base, durability, count, create, remove)
            if bench.dockerd is not None:
                _dockerd(bench.dockerd, count, create, remove)
            if bench.storage is not None and count == 100:
                _storage(bench.storage, base, count, create, remove)
        create.print()
        remove.print()


def _plain(bench: Bench, count: int, create: Table, remove: Table) -> None:
    """Do what can't be done without: make directories, and rename or delete them."""
    top, away = bench.directory(), bench.directory()
    with create.timed("mkdir"):
        for number in range(count):
            (top / str(number)).mkdir()
    trees = sorted(top.iterdir())
    for tree in trees:
        _fill(tree)
    with remove.timed("rename"):
        for tree in trees:
            tree.rename(away / tree.name)
    with remove.timed("rm -rf"):
        subprocess.run(["rm", "-rf", *sorted(away.iterdir())], check=True)


def _ours(
    store: LayerStore, base: Path, durability: str, count: int, create: Table, remove: Table
) -> None:
    chain = store.register(base).chain_id
    with ThreadPoolExecutor(_THREADS) as threads:
        await_threads(threads, _THREADS)
        with create.timed(f"layerstore create_rw_layer, {durability}"):
            layers = _each(threads, lambda n: store.create_rw_layer(f"rw{n}", chain), range(count))
        for layer in layers:
            _fill(Path(layer.metadata()["UpperDir"]))
        with remove.timed(f"layerstore release, {durability}, drained"):
            with remove.timed(f"layerstore release, {durability}, answered"):
                _each(threads, lambda layer: layer.release(), layers)
            store.drain()


def _dockerd(dockerd: Dockerd, count: int, create: Table, remove: Table) -> None:
    names = [f"rw{number}" for number in range(count)]
    with ThreadPoolExecutor(_THREADS) as threads:
        await_threads(threads, _THREADS)
        with create.timed("dockerd, POST /containers/create"):
            _each(threads, lambda name: dockerd.create(name, "base:1"), names)
        for name in names:
            _fill(Path(dockerd.upper_directory(name)))
        with remove.timed("dockerd, DELETE /containers"):
            _each(threads, dockerd.remove, names)


def _storage(storage: Storage, base: Path, count: int, create: Table, remove: Table) -> None:
    """A process for each layer, as there is no other way to ask it."""
    parent = storage.run("import-layer", "--file", base)
    with ThreadPoolExecutor(_COMMANDS_AT_ONCE) as threads:
        with create.timed("containers-storage create-layer"):
            layers = _each(threads, lambda _: storage.run("create-layer", parent), range(count))
        with remove.timed("containers-storage delete-layer"):
            _each(threads, lambda layer: storage.run("delete-layer", layer), layers)
    storage.run("delete-layer", parent)


def _each(threads: ThreadPoolExecutor, do: Callable[[T], R], items: Iterable[T]) -> list[R]:
    return list(threads.map(do, items))


def await_threads(threads: ThreadPoolExecutor, count: int) -> None:
    """Have every thread of a pool started."""
    all_there = threading.Barrier(count)
    list(threads.map(lambda _: all_there.wait(), range(count)))


def _fill(directory: Path) -> None:
    for number in range(_FILES):
        (directory / f"file{number}").write_bytes(b"x" * 100)
