"""What a test leaves behind: layers, references, mounts, child processes, threads.

Owns the comparison before and after. What belongs to an open store, its threads and children, and
what a session keeps in it, is no leak.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerstore.actors.workers.worker import DriverWorker
from layerstore.drivers.confine.stopped import SPAWNING
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.readable import is_readable
from layerstore.testing.rootfs import Workplace

_GRACE = 2.0
"""Seconds that what is ending already may take."""
_LOOK = 0.05
"""Seconds until the next look at what hasn't ended: it may have become a worker, which may stay."""
_WORKER = b"layerstore.drivers.worker.child"
_OF_WORKERS = (f"{DriverWorker.__name__}-", SPAWNING)
"""What the names of workers' threads begin with, as Pykka names those of actors."""


@dataclass(frozen=True, slots=True)
class _Found:
    layers: dict[str, int]
    """Chain ID -> references."""
    mounts: dict[str, tuple[int, int]]
    """Name -> references and mounts."""
    points: frozenset[str]
    children: frozenset[int]
    threads: frozenset[threading.Thread]


@contextlib.contextmanager
def no_leaks(workplace: Workplace | None, temporary: Path) -> Iterator[None]:
    """Fail where a `with` block leaves something that wasn't there before.

    Mounts are looked for beneath `temporary` and the store's root: others on the machine mount too.
    """
    places = [f"{temporary}/", *([f"{workplace.store.root}/"] if workplace is not None else [])]
    before = _look(workplace, places)
    yield
    _wait_for_ends(before)
    leaks = _leaks(before, _look(workplace, places), workplace)
    if leaks:
        pytest.fail("the test leaves behind: " + "; ".join(leaks), pytrace=False)


def _look(workplace: Workplace | None, places: Sequence[str]) -> _Found:
    layers: dict[str, int] = {}
    mounts: dict[str, tuple[int, int]] = {}
    if workplace is not None:
        layers = {chain: layer.references for chain, layer in workplace.store.map().items()}
        mounts = {m.name: (m.references, m.mount_count) for m in workplace.store.mounts()}
    return _Found(
        layers=layers,
        mounts=mounts,
        points=frozenset(p.path for p in mount_points() if p.path.startswith(tuple(places))),
        children=frozenset(_children()),
        threads=frozenset(_threads()),
    )


def _leaks(before: _Found, after: _Found, workplace: Workplace | None) -> list[str]:
    kept = workplace.kept if workplace is not None else set()
    found = []
    for name, counts in after.mounts.items():
        old = before.mounts.get(name)
        if old is None:
            found.append(f"read-write layer {name}")
        elif counts[0] > old[0]:
            found.append(f"{counts[0] - old[0]} references of read-write layer {name}")
        elif counts[1] > old[1]:
            found.append(f"{counts[1] - old[1]} mounts of read-write layer {name}")
    # A layer that is kept by one that leaks is told already.
    told = bool(found)
    for chain, references in after.layers.items():
        if chain in kept or told:
            continue
        if chain not in before.layers:
            found.append(f"layer {chain}")
        elif references > before.layers[chain]:
            found.append(f"{references - before.layers[chain]} references of layer {chain}")
    if not told:
        found += [f"mount {path}" for path in sorted(after.points - before.points)]
    found += [f"process {pid} ({_name(pid)})" for pid in after.children - before.children]
    found += [f"thread {thread.name}" for thread in after.threads - before.threads]
    return found


def _wait_for_ends(before: _Found) -> None:
    """Give processes and threads that are ending already a moment to end."""
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline:
        threads = set(_threads()) - before.threads
        children = _children() - before.children
        if not threads and not children:
            return
        for thread in threads:
            thread.join(_LOOK)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                try:
                    is_readable(fd, _LOOK)
                finally:
                    os.close(fd)


def _threads() -> Iterator[threading.Thread]:
    """Give the threads that run, without a store's workers, which come and go with the work.

    A thread whose `start` is under way is listed but doesn't run yet, nor can it be joined.
    """
    for thread in threading.enumerate():
        if thread.is_alive() and not thread.name.startswith(_OF_WORKERS):
            yield thread


def _children() -> set[int]:
    return {pid for pid in children_of(os.getpid()) if _WORKER not in _command(pid)}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _name(pid: int) -> str:
    return _command(pid).replace(b"\0", b" ").decode(errors="replace").strip()[:80] or "a zombie"
