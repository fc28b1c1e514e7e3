"""Pulling an image from a registry on loopback, beside dockerd, skopeo and umoci.

The image has ten layers, 500 MB of files in all, some that compress well and some that don't,
compressed by skopeo. Everybody begins with nothing of it and ends with it unpacked. Each waits for
the writing of the one before, which isn't timed.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
from collections.abc import Iterator, Sequence

from benchmarks.bench import DURABILITIES, Bench
from benchmarks.images import quietly
from benchmarks.timing import OURS, Table
from tests.support.registries.daemon import PROGRAM, Registry, running
from tests.support.registries.images import put_layers
from tests.support.tars import layer_tar

_LAYERS = 10
_LAYER_SIZE = 50_000_000
_SMALLEST, _LARGEST = 512, 256 << 10
_NAME = "bench/app:1"


def measure(bench: Bench) -> None:
    """All who pull, in turn; only the time until the image can be used is told."""
    missing = [name for name in (PROGRAM, "skopeo") if shutil.which(name) is None]
    if missing:
        print(f"pull: {' and '.join(missing)} is not installed")
        return
    with running(bench.directory()) as registry:
        layers = [_layer(number) for number in range(_LAYERS)]
        put_layers(registry, layers, _NAME, bench.directory())
        size = sum(map(len, layers))
        del layers
        table = bench.table(f"pull of {_LAYERS} layers from loopback", size=size)
        for _ in range(bench.rounds):
            _round(bench, registry, table)
        table.print()


def _round(bench: Bench, registry: Registry, table: Table) -> None:
    name = registry.name(_NAME)
    for durability in DURABILITIES:
        with bench.store(durability) as store, _timed(table, f"{OURS}, {durability}"):
            store.images.pull(name)
    if bench.dockerd is not None:
        with _timed(table, "dockerd"):
            bench.dockerd.pull(name)
        bench.dockerd.remove_image(name)
    source = ("--src-tls-verify=false", f"docker://{name}")
    if bench.storage is not None:
        with _timed(table, "skopeo copy into containers-storage"):
            quietly("skopeo", "copy", *source, bench.storage.image("localhost/x:1"))
        bench.storage.run("delete-image", "localhost/x:1")
    if bench.umoci:
        place = bench.directory()
        with _timed(table, "skopeo copy, and umoci unpack"):
            quietly("skopeo", "copy", *source, f"oci:{place}/layout:1")
            quietly("umoci", "unpack", "--image", f"{place}/layout:1", f"{place}/bundle")


@contextlib.contextmanager
def _timed(table: Table, contender: str) -> Iterator[None]:
    os.sync()
    with table.timed(contender):
        yield


def _layer(number: int) -> bytes:
    """Return the tar of a layer, the same each time: small files and large ones, text and noise."""
    chance = random.Random(number)  # noqa: S311
    files: dict[str, bytes | str | None] = {f"srv{number}": None}
    sources = (_text(chance), chance.randbytes(1 << 20))
    left = _LAYER_SIZE
    while left > 0:
        most = math.exp(chance.uniform(math.log(_SMALLEST), math.log(_LARGEST)))
        size = min(left, int(most))
        files[f"srv{number}/{len(files)}"] = _slice(chance, sources, size)
        left -= size
    return layer_tar(files)


def _text(chance: random.Random) -> bytes:
    words = [chance.randbytes(4).hex()[: chance.randint(2, 8)].encode() for _ in range(2_000)]
    return b" ".join(chance.choices(words, k=200_000))


def _slice(chance: random.Random, sources: Sequence[bytes], size: int) -> bytes:
    """Return that much of one of the sources, three times in four of the first."""
    source = sources[chance.random() > 0.75]
    begin = chance.randrange(len(source) - size)
    return source[begin : begin + size]
