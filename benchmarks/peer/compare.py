"""The comparison: moby and layerstore at the same work on the same content, in turn, in each round.

Owns the roots and the tmpfs, which is mounted in a mount namespace of this process's own, and so
goes with it however that ends. Before each piece of work on the disk all that is still to be
written is written. Begin with `measure`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.dockerd import unmount_all
from benchmarks.peer.build import PeerUnavailable, built
from benchmarks.peer.contenders import Contender
from benchmarks.peer.moby import Moby, running
from benchmarks.peer.ours import Ours, ready_threads
from benchmarks.peer.report import DISK, MEMORY, PLACES, Amounts, rows, table
from benchmarks.peer.turn import Ledger, Tars, Turn, fill
from benchmarks.tar_pass import one_file, small_files
from layerstore.drivers.system.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC, mount, unshare
from tests.support.tars import layer_tar

_SIZE = "size=8g"
"""Of the tmpfs: what it doesn't hold takes no memory."""


def measure(directory: Path, rounds: int, cache: Path, amounts: Amounts | None = None) -> None:
    """Build moby if it isn't in the cache, compare, and print the table.

    Raises PeerUnavailable where that can't be, Disagreement where one of them skips its work.
    """
    if os.geteuid() != 0:
        raise PeerUnavailable("overlay2 and a tmpfs are mounted, which needs root")
    amounts = amounts or Amounts()
    program, version = built(cache)
    with _places(directory) as places, running(program) as moby, ready_threads() as threads:
        work = places[DISK]
        print(f"moby {version} and layerstore; {_about(places)}; {rounds} rounds", flush=True)
        tars = _tars(work, amounts)
        full = _full_roots(moby, places, amounts)
        relaxed, durable = Ours("relaxed", threads), Ours("durable", threads)
        contenders: dict[str, list[Contender]] = {
            MEMORY: [moby, relaxed],
            DISK: [moby, relaxed, durable],
        }
        ledger = Ledger()
        for number in range(rounds):
            print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", flush=True)
            for place in PLACES:
                for contender in _rotated(contenders[place], number):
                    root = Path(tempfile.mkdtemp(dir=places[place]))
                    Turn(ledger, contender, place, root, amounts, tars).everything()
                    Turn(ledger, contender, place, full[place], amounts, tars).opening()
                    if place == MEMORY:
                        shutil.rmtree(root)
    print("\n".join(table(rows(amounts), ledger.times)))


@contextlib.contextmanager
def _places(directory: Path) -> Iterator[dict[str, Path]]:
    """Make a directory on the disk, and a tmpfs in it, for a `with` block."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "none", MS_REC | MS_PRIVATE, "")
    top = Path(tempfile.mkdtemp(prefix="layerstore-bench-", dir=directory))
    try:
        memory, disk = top / "memory", top / "disk"
        memory.mkdir()
        disk.mkdir()
        mount("layerstore-bench", str(memory), "tmpfs", 0, _SIZE)
        yield {MEMORY: memory, DISK: disk}
    finally:
        unmount_all(str(top))
        shutil.rmtree(top)


def _about(places: dict[str, Path]) -> str:
    kinds = []
    for place, path in places.items():
        done = subprocess.run(
            ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", path],
            check=True,
            capture_output=True,
            text=True,
        )
        kinds.append(f"{place} is {done.stdout.strip()} ({path})")
    return ", ".join(kinds)


def _tars(work: Path, amounts: Amounts) -> Tars:
    files, one = work / "files.tar", work / "one.tar"
    small_files(str(files), amounts.files)
    one_file(str(one), amounts.mebibytes << 20)
    base, *chain = _one_file_tars(work / "chain", amounts.depth + 1)
    return Tars(base, chain, files, one)


def _one_file_tars(directory: Path, count: int) -> list[Path]:
    directory.mkdir()
    paths = [directory / str(number) for number in range(count)]
    for path in paths:
        path.write_bytes(layer_tar({f"f{path.name}": b"1"}))
    return paths


def _full_roots(moby: Moby, places: dict[str, Path], amounts: Amounts) -> dict[str, Path]:
    """Make a root with many layers and mounts by moby, once, and copy it to the other place."""
    roots = {place: path / "full" for place, path in places.items()}
    roots[MEMORY].mkdir()
    tars = _one_file_tars(places[DISK] / "full-tars", amounts.opened)
    depth = amounts.depth
    chains = [tars[first : first + depth] for first in range(0, len(tars), depth)]
    fill(moby, roots[MEMORY], chains, amounts.opened)
    subprocess.run(["cp", "-a", roots[MEMORY], roots[DISK]], check=True)
    return roots


def _rotated(contenders: list[Contender], number: int) -> list[Contender]:
    first = number % len(contenders)
    return contenders[first:] + contenders[:first]
