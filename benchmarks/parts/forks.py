"""Branches of one checkpoint: forks, beside plain copies of it and beside commits.

Run as `python -m benchmarks forks`, or as `python -m benchmarks.parts.forks` for another number of
them, of another size, or by another driver (`--help`). The checkpoint is a read-write layer with
1,000 changed files of 10 KiB, mounted. What a reset takes is told beside.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import DURABILITIES, Bench, await_children
from benchmarks.tar_pass import small_files
from benchmarks.timing import Table
from layerstore import LayerStore, RWLayer
from layerstore.api.options import Durability

_BRANCHES = 100
_FILES = 1_000
_SIZE = 10 << 10
_THREADS = os.cpu_count() or 1


def measure(
    bench: Bench, branches: int = _BRANCHES, driver: str | None = None, files: int = _FILES
) -> None:
    """Make that many branches in each way, and reset one."""
    size = branches * files * _SIZE
    table = bench.table(
        f"{branches:,} branches of {files:,} changed files, {_SIZE >> 10} KiB each, "
        f"from {_THREADS} threads",
        files=branches * files,
        size=size,
    )
    resets = bench.table("reset of such a branch")
    archive = bench.place / "checkpoint.tar"
    small_files(str(archive), files, _SIZE)
    for _ in range(bench.rounds):
        for durability in DURABILITIES:
            _forks(bench, archive, durability, table, resets, branches, driver)
        _commits(bench, archive, table, branches, driver)
        _copies(bench, archive, table, branches)
    table.print()
    resets.print()


def _opened(bench: Bench, durability: Durability, driver: str | None) -> LayerStore:
    store = LayerStore(bench.directory(), driver=driver, durability=durability)
    await_children(store, _THREADS)
    return store


def _checkpoint(store: LayerStore, archive: Path) -> RWLayer:
    rw = store.create_rw_layer("checkpoint")
    rw.apply_diff(archive)
    rw.mount()
    return rw


def _each(branches: int, make: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(make, range(branches)))


def _forks(
    bench: Bench,
    archive: Path,
    durability: Durability,
    table: Table,
    resets: Table,
    branches: int,
    driver: str | None,
) -> None:
    with _opened(bench, durability, driver) as store:
        checkpoint = _checkpoint(store, archive)
        with table.timed(f"layerstore ({durability}): fork"):
            _each(branches, lambda number: checkpoint.fork(f"branch-{number}"))
        for number in range(min(branches, 10)):
            branch = store.get_rw_layer(f"branch-{number}")
            with resets.timed(f"layerstore ({durability}): reset"):
                branch.reset()
        store.close()


def _commits(bench: Bench, archive: Path, table: Table, branches: int, driver: str | None) -> None:
    with _opened(bench, "relaxed", driver) as store:
        checkpoint = _checkpoint(store, archive)

        def create(number: int, image: str) -> RWLayer:
            return store.images.create(f"branch-{number}", image)

        with table.timed("layerstore: one commit, create each"):
            image = store.images.commit(checkpoint).id
            _each(branches, lambda number: create(number, image))

        def commit(number: int) -> RWLayer:
            step = store.images.commit(checkpoint, comment=str(number))
            return create(branches + number, step.id)

        with table.timed("layerstore: commit and create each"):
            _each(branches, commit)


def _copies(bench: Bench, archive: Path, table: Table, branches: int) -> None:
    top = bench.directory()
    (top / "checkpoint").mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", top / "checkpoint"], check=True)
    with table.timed("cp -a"):
        _each(
            branches,
            lambda number: subprocess.run(
                ["cp", "-a", top / "checkpoint", top / f"branch-{number}"], check=True
            ),
        )


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--branches", type=int, default=_BRANCHES)
    parser.add_argument("--files", type=int, default=_FILES)
    parser.add_argument("--driver")
    parser.add_argument("--in", dest="directory", default="/var/tmp")  # noqa: S108
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="layerstore-bench-", dir=options.directory))
    try:
        bench = Bench(place, options.rounds, None, None, umoci=False)
        measure(bench, options.branches, options.driver, options.files)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
