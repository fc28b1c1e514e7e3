"""Layers and read-write layers by layerstore, dockerd and plain tools, in the same run.

Run as root: `python -m benchmarks.store [DIRECTORY] [--rounds N]`. Everything is made beneath
DIRECTORY, each round does every contender's work once in turn, and medians are printed with the
ratio to the first row of their table. dockerd is left out where it isn't installed. What the rounds
make is deleted at the end only: on some file systems making files is slow just after a deletion.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.dockerd import Dockerd, DockerdUnavailable, private_dockerd
from benchmarks.tar_pass import one_file, small_files
from layerstore import LayerStore
from layerstore.store import Durability
from tests.archives import as_tar, docker_archive

_LAYERS = 100
_FILES = 20
_PIECE = 1 << 20
_DURABILITIES: tuple[Durability, ...] = ("durable", "relaxed")

Times = dict[str, list[float]]


@contextlib.contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[what].append(time.perf_counter() - start)


def report(title: str, times: Times, *, files: int = 0, size: int = 0) -> None:
    """Print medians; `files` and `size` in bytes make rates of them."""
    print(f"\n{title}")
    medians = {what: statistics.median(taken) for what, taken in times.items()}
    first = next(iter(medians.values()))
    for what, median in medians.items():
        rates = f"{files / median:12,.0f} files/s" if files > 1 else ""
        rates += f"{size / median / 1e6:8.0f} MB/s" if size else ""
        print(f"  {what:38}{median:9.4f} s{median / first:8.2f} x{rates}")


# Tars


def measure_tar(
    place: Path, archive: str, rounds: int, dockerd: Dockerd | None
) -> tuple[Times, Times]:
    """Take in one tar and give it back; returns the times of both."""
    register: Times = defaultdict(list)
    stream: Times = defaultdict(list)
    image = place / "image.tar"
    image.write_bytes(as_tar(docker_archive([Path(archive).read_bytes()], ["bench:1"])))
    for _ in range(rounds):
        tree = tempfile.mkdtemp(dir=place)
        with timed(register, "tar x"):
            subprocess.run(["tar", "-x", "-f", archive, "-C", tree], check=True)
        with timed(stream, "tar c"):
            subprocess.run(f"tar -c -C {tree} . | cat >/dev/null", shell=True, check=True)  # noqa: S602
        for durability in _DURABILITIES:
            with _store(place, durability) as store:
                with timed(register, f"register, {durability}"):
                    layer = store.register(archive)
                with timed(stream, f"tar_stream, {durability}"):
                    _read(layer.tar_stream().read)
        if dockerd is not None:
            with timed(register, "dockerd, load of its archive"):
                dockerd.load(str(image))
            with timed(stream, "dockerd, save of its archive"):
                dockerd.save("bench:1")
            dockerd.remove_image("bench:1")
    return register, stream


def _read(read: Callable[[int], bytes | None]) -> None:
    while read(_PIECE):
        pass


@contextlib.contextmanager
def _store(place: Path, durability: Durability) -> Iterator[LayerStore]:
    with LayerStore(tempfile.mkdtemp(dir=place), durability=durability) as store:
        _await_children(store)
        yield store


def _await_children(store: LayerStore) -> None:
    """Have every child started: one job each, at the same time."""
    layers = [store.create_rw_layer(f"warm-{number}") for number in range(os.cpu_count() or 1)]
    with ThreadPoolExecutor(len(layers)) as threads:
        list(threads.map(lambda layer: layer.size(), layers))
    for layer in layers:
        layer.release()


# Read-write layers


def measure_removals(place: Path, rounds: int, dockerd: Dockerd | None) -> tuple[Times, Times]:
    """Make and remove 100 read-write layers from 100 threads; returns the times of both."""
    create: Times = defaultdict(list)
    remove: Times = defaultdict(list)
    base = str(place / "base.tar")
    small_files(base, 1000, 100)
    image = place / "base-image.tar"
    image.write_bytes(as_tar(docker_archive([Path(base).read_bytes()], ["base:1"])))
    if dockerd is not None:
        dockerd.load(str(image))
    for _ in range(rounds):
        _plain(place, remove)
        for durability in _DURABILITIES:
            with _store(place, durability) as store:
                _ours(store, base, durability, create, remove)
        if dockerd is not None:
            _theirs(dockerd, create, remove)
    return create, remove


def _plain(place: Path, remove: Times) -> None:
    top = tempfile.mkdtemp(dir=place)
    trees = [Path(top, str(number)) for number in range(_LAYERS)]
    for tree in trees:
        tree.mkdir()
        _fill(tree)
    with timed(remove, "rm -rf"):
        subprocess.run(["rm", "-rf", *trees], check=True)


def _ours(store: LayerStore, base: str, durability: str, create: Times, remove: Times) -> None:
    chain = store.register(base).chain_id
    with ThreadPoolExecutor(_LAYERS) as threads:
        list(threads.map(time.sleep, [0.01] * _LAYERS))  # every thread is there
        with timed(create, f"create_rw_layer, {durability}"):
            layers = list(
                threads.map(lambda n: store.create_rw_layer(f"rw{n}", chain), range(_LAYERS))
            )
        for layer in layers:
            _fill(Path(layer.metadata()["UpperDir"]))
        with timed(remove, f"release, {durability}, drained"):
            with timed(remove, f"release, {durability}, answered"):
                list(threads.map(lambda layer: layer.release(), layers))
            store.drain()


def _theirs(dockerd: Dockerd, create: Times, remove: Times) -> None:
    names = [f"rw{number}" for number in range(_LAYERS)]
    with ThreadPoolExecutor(_LAYERS) as threads:
        with timed(create, "dockerd, POST /containers/create"):
            list(threads.map(lambda name: dockerd.create(name, "base:1"), names))
        for name in names:
            _fill(Path(dockerd.upper_directory(name)))
        with timed(remove, "dockerd, DELETE /containers"):
            list(threads.map(dockerd.remove, names))


def _fill(directory: Path) -> None:
    for number in range(_FILES):
        (directory / f"file{number}").write_bytes(b"x" * 100)


def run(place: Path, rounds: int, dockerd: Dockerd | None) -> None:
    print(f"{rounds} rounds in {place}; {dockerd.about() if dockerd else 'no dockerd'}")
    create, remove = measure_removals(place, rounds, dockerd)
    report(f"{_LAYERS} read-write layers, created from {_LAYERS} threads", create)
    report(f"{_LAYERS} read-write layers of {_FILES} files, removed from {_LAYERS} threads", remove)
    archive = str(place / "archive.tar")
    for title, make, files in (
        ("10,000 files of 4 KiB", small_files, 10_000),
        ("one file of 512 MiB", one_file, 1),
    ):
        make(archive)
        register, stream = measure_tar(place, archive, rounds, dockerd)
        size = os.stat(archive).st_size
        report(f"{title}, taken in", register, files=files, size=size)
        report(f"{title}, given back", stream, files=files, size=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="/var/tmp")  # noqa: S108
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="layerstore-bench-", dir=options.directory))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        dockerd = None
        try:
            dockerd = stack.enter_context(private_dockerd(str(place)))
        except DockerdUnavailable as error:
            print(error)
        run(place, options.rounds, dockerd)


if __name__ == "__main__":
    main()
