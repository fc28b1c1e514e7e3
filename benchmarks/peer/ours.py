"""layerstore at the same work, in this process, as an embedder has it.

Owns the open store and the threads that ask it. It is opened without children, which `warm` has
started: they are no part of reading a root.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import await_children
from benchmarks.mounts import await_threads
from benchmarks.peer.contenders import THREADS, Answer
from benchmarks.tars import read_all
from benchmarks.timing import OURS
from layerstore import Layer, LayerStore, RWLayer
from layerstore.api.options import Durability

_EACH = 500
"""Pairs of get and release in each thread."""


class Ours:
    """layerstore with one durability."""

    def __init__(self, durability: Durability, threads: ThreadPoolExecutor) -> None:
        self.name = ours(durability)
        self._durability = durability
        self._threads = threads
        self._store: LayerStore
        self._layers: dict[str, Layer] = {}
        self._writable: list[RWLayer] = []

    def open(self, root: Path, mounts: int = 0) -> Answer:
        durability = self._durability
        with _timed() as answer:
            store = LayerStore(root, driver="overlay2", durability=durability, prespawn=False)
        self._store, self._layers = store, {}
        answer.layers = len(store.map())
        answer.mounts = len(store.mounts()) if mounts else 0
        return answer

    def close(self) -> None:
        self._store.close()

    def warm(self) -> None:
        await_children(self._store, os.cpu_count() or 1)
        self._store.drain()

    def register(self, tars: Sequence[Path], parent: str = "") -> Answer:
        made: list[Layer] = []
        above: str | None = parent or None
        with _timed() as answer:
            for tar in tars:
                layer = self._store.register(tar, above)
                above = layer.chain_id
                made.append(layer)
        answer.chains = [layer.chain_id for layer in made]
        answer.diffs = [layer.diff_id for layer in made]
        self._layers.update(zip(answer.chains, made, strict=True))
        return answer

    def release(self, chain: str) -> Answer:
        layer = self._layers.pop(chain)
        with _timed() as answer:
            removed = layer.release()
        answer.layers = len(removed)
        return answer

    def create(self, count: int, parent: str) -> Answer:
        create = self._store.create_rw_layer
        with _timed() as answer:
            made = self._threads.map(lambda number: create(f"rw{number}", parent), range(count))
            self._writable = list(made)
        return answer

    def remove(self) -> Answer:
        with _timed() as answer:
            list(self._threads.map(lambda layer: layer.release(), self._writable))
        return answer

    def drain(self) -> Answer:
        start = time.perf_counter()
        self._store.drain()
        return Answer(time.perf_counter() - start)

    def read(self, chain: str) -> Answer:
        sizes: list[int] = []
        with _timed() as answer:
            stream = self._layers[chain].tar_stream()

            def read(size: int) -> bytes:
                piece = stream.read(size)
                sizes.append(len(piece))
                return piece

            read_all(read)
        answer.bytes = sum(sizes)
        return answer

    def pairs(self, chain: str, threads: int) -> Answer:
        get = self._store.get

        def pairs(_: int) -> None:
            for _ in range(_EACH):
                get(chain).release()

        with _timed() as answer:
            list(self._threads.map(pairs, range(threads)))
        answer.seconds /= threads * _EACH
        return answer


def ours(durability: Durability) -> str:
    """Return the name of layerstore with a durability."""
    return f"{OURS}, {durability}"


@contextlib.contextmanager
def ready_threads() -> Iterator[ThreadPoolExecutor]:
    """Have all the threads that ask started, for a `with` block."""
    with ThreadPoolExecutor(THREADS) as threads:
        await_threads(threads, THREADS)
        yield threads


@contextlib.contextmanager
def _timed() -> Iterator[Answer]:
    answer = Answer()
    gc.collect()
    start = time.perf_counter()
    yield answer
    answer.seconds = time.perf_counter() - start
