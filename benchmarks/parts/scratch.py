"""What scratch layers save, and what many lower layers cost: makes, mounts, writes to, removes.

Run as root: `python -m benchmarks.parts.scratch [DIRECTORY] [--seconds N]`. Each round has every
contender do the same, in another order each time; ratios are of the same round, to an ordinary
layer and to one mount(2), and printed as their median with quartiles beside the least times.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.timing import in_units
from layerstore import LayerStore
from layerstore.drivers.graph.overlay2.mount import MountOptions, unmount
from layerstore.drivers.graph.overlay2.ways import WAYS, Stack, Way
from tests.support.tars import layer_tar

_KINDS: dict[str, Mapping[str, str]] = {
    "ordinary": {},
    "scratch=disk": {"scratch": "disk"},
    "scratch=memory": {"scratch": "memory"},
    "scratch=memory, size=64m": {"scratch": "memory", "size": "64m"},
}
_COUNTS = (1, 10, 125, 300)
_FILES, _SYNCS = 20, 5
Times = dict[str, list[float]]


def life(store: LayerStore, chain: str, options: Mapping[str, str], *, syncs: bool) -> None:
    """Make a layer, mount it, write to it, unmount and remove it."""
    with store.create_rw_layer("job", chain, storage_opt=options) as layer:
        path = Path(layer.mount())
        for number in range(_FILES):
            file = path / str(number)
            file.write_bytes(bytes(10_000))
            if syncs and number < _SYNCS:
                fd = os.open(file, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
        layer.unmount()


def rounds(contenders: Mapping[str, Callable[[], object]], seconds: float) -> Times:
    times: Times = defaultdict(list)
    for work in contenders.values():
        work()  # warms up
    names = list(contenders)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        random.shuffle(names)
        for name in names:
            begun = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - begun)
    return times


def tell(title: str, times: Times, first: str) -> None:
    print(f"\n{title} ({len(times[first])} rounds)")
    for name, taken in times.items():
        ratios = [ours / theirs for ours, theirs in zip(taken, times[first], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        least = in_units(min(taken))
        print(f"  {name:28}{least} at least {middle:7.2f} x  ({low:.2f} to {high:.2f})")


def lives(place: Path, seconds: float) -> None:
    for durability in ("durable", "relaxed"):
        with (
            tempfile.TemporaryDirectory(dir=place) as root,
            LayerStore(root, driver="overlay2", durability=durability) as store,
        ):
            chain = store.register(layer_tar({"a": b"1"})).chain_id
            for syncs in (False, True):
                contenders = {
                    kind: partial(life, store, chain, options, syncs=syncs)
                    for kind, options in _KINDS.items()
                }
                what = f"{_FILES} files, {_SYNCS if syncs else 'no'} fsyncs, {durability}"
                tell(f"a layer's life, {what}", rounds(contenders, seconds), "ordinary")


@contextlib.contextmanager
def lower_layers(place: Path, count: int) -> Iterator[tuple[str, list[str]]]:
    """Make a home with so many layers, as long in their names as real ones are."""
    with tempfile.TemporaryDirectory(dir=place) as root:
        home = Path(root, "overlay2")
        for name in ("l", "upper", "work", "merged"):
            (home / name).mkdir(parents=True)
        lowers = []
        for number in range(count):
            (home / f"{number:064}" / "diff").mkdir(parents=True)
            lowers.append(f"l/{number:026}")
            (home / lowers[-1]).symlink_to(f"../{number:064}/diff")
        yield str(home), lowers


def mounts(place: Path, seconds: float) -> None:
    flags = MountOptions.probe().flags
    for count in _COUNTS:
        with lower_layers(place, count) as (home, lowers):
            stack = Stack(lowers, "upper", "work")
            target = f"{home}/merged"

            def once(way: Way, home: str = home, target: str = target, on: Stack = stack) -> None:
                way.mount(home, target, on, flags)
                unmount(target, keep=True)

            fitting = [way for way in WAYS if way.fits(home, stack, flags)]
            contenders = {way.name: partial(once, way) for way in fitting}
            times = rounds(contenders, seconds)
            tell(f"mount and unmount of {count} lower layers", times, fitting[0].name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="/var/tmp")  # noqa: S108
    parser.add_argument("--seconds", type=float, default=5.0, help="for each table")
    options = parser.parse_args()
    lives(Path(options.directory), options.seconds)
    mounts(Path(options.directory), options.seconds)


if __name__ == "__main__":
    main()
