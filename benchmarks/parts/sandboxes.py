"""How long sandboxes take that start, run `true` and go, many at once; and 500 that are alive.

Run as `python -m benchmarks sandboxes`. Beside what is done with the same by a new interpreter for
each, and beside bwrap, which has no root file system to make and none to throw away.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.commands import bwrap
from benchmarks.timing import OURS
from layerstore import Finished, LayerStore, Warm, mount_points, run
from layerstore.drivers.system.proc_children import children_of
from tests.support.busybox import NAME, image_tar, rootfs_tar

_ONE_ROUND = 100
_ALIVE = 500
_AT_ONCE = 4 * (os.cpu_count() or 1)
"""Who joins a control group waits until all processors have noticed, and computes nothing."""
_ENV = {"PATH": "/bin"}


def measure(bench: Bench) -> None:
    """Some at once for each processor; then many that only live."""
    with (
        LayerStore(bench.directory(), durability="relaxed") as store,
        Warm() as warm,
        ThreadPoolExecutor(_AT_ONCE) as threads,
    ):
        store.images.load(io.BytesIO(image_tar()))
        ours: dict[str, Callable[[int], object]] = {
            f"{OURS} sandbox": partial(_sandbox, store),
            f"{OURS} sandbox, scratch in memory": partial(_scratch, store),
            f"{OURS} layer and run, warm": partial(_run, store, warm),
            f"{OURS} layer and run": partial(_run, store, None),
        }
        rootfs = bench.directory()
        with tarfile.open(fileobj=io.BytesIO(rootfs_tar())) as archive:
            archive.extractall(rootfs, filter="tar")
        others: dict[str, Callable[[int], object]] = {}
        if shutil.which("bwrap") is None:
            print("bwrap is not installed")
        else:
            others["bwrap, in a directory that is there"] = partial(_call, bwrap(rootfs))
        table = bench.table(f"{_ONE_ROUND} times `true`, each in a container of its own")
        for _ in range(bench.rounds):
            for name, once in {**ours, **others}.items():
                once(0)
                with table.timed(name):
                    for _ in threads.map(once, range(_ONE_ROUND)):
                        pass
        table.print()
        _live(store, threads)


def _sandbox(store: LayerStore, _: int) -> None:
    with store.sandbox(NAME, env=_ENV) as box:
        _expect_success(box.exec(["true"]))


def _scratch(store: LayerStore, _: int) -> None:
    options = {"scratch": "memory", "size": "64m"}
    with store.sandbox(NAME, env=_ENV, storage_opt=options) as box:
        _expect_success(box.exec(["true"]))


def _run(store: LayerStore, warm: Warm | None, number: int) -> None:
    name = f"run-{number}-{os.urandom(4).hex()}"
    with store.images.create(name, NAME, init=mount_points) as rw:
        _expect_success(run(rw, ["true"], env=_ENV, warm=warm))


def _expect_success(finished: Finished) -> None:
    if finished.status != 0:
        raise RuntimeError(f"true ended with {finished}")


def _call(command: Sequence[str], _: int) -> None:
    subprocess.run(command, check=True)


def _live(store: LayerStore, threads: ThreadPoolExecutor) -> None:
    """Tell what sandboxes take of memory that do nothing."""
    boxes = list(threads.map(lambda _: store.sandbox(NAME, env=_ENV), range(_ALIVE)))
    try:
        sizes = [_proportional_size(pid) for pid in _processes_of(os.getpid())]
        each = sum(sizes) / len(boxes) / 1024
        print(
            f"\n{len(boxes)} sandboxes are alive: {len(sizes)} processes, {each:.1f} MiB for each"
        )
    finally:
        for _ in threads.map(lambda box: box.close(), boxes):
            pass


def _processes_of(parent: int) -> Iterator[int]:
    for pid in children_of(parent):
        yield pid
        yield from _processes_of(pid)


def _proportional_size(pid: int) -> int:
    """KiB of a process, what it shares with others counted in parts. proc_pid_smaps(5)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, size = line.partition(":")
        if name == "Pss":
            return int(size.split()[0])
    raise ValueError(f"process {pid} tells no proportional size")
