"""layerstore beside dockerd, containers-storage, umoci and plain tools, at the same work.

`python -m benchmarks [WHAT...] [--in DIRECTORY] [--rounds N] [--plot FILE] [--most N]`, as root. In
each round every contender does its work once, in turn; medians are printed with the ratio to the
first line of their table, and at the end where layerstore does worst beside dockerd. Contenders
that aren't installed are left out, and that is said. What the rounds make is deleted at the end
only: on some file systems making files is slow just after a deletion.

`python -m benchmarks --against moby [--in DIRECTORY] [--rounds N] [--peer-cache DIRECTORY]`, as
root, has moby's own layer package beside layerstore instead, both in process: on a tmpfs and in
DIRECTORY. It is built from Debian's sources with Debian's Go, the first time, which takes a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import commands, handovers, images, latency, mounts, pull, tars
from benchmarks.bench import Bench, Storage
from benchmarks.curves import growth, reopen, scaling
from benchmarks.curves.plot import lines_of, plot
from benchmarks.dockerd import DockerdUnavailable, private_dockerd, unmount_all
from benchmarks.parts import forks, sandboxes
from benchmarks.peer import build, compare
from benchmarks.timing import worst

_BENCHMARKS: dict[str, Callable[[Bench], object]] = {
    "mounts": mounts.measure,
    "forks": forks.measure,
    "sandboxes": sandboxes.measure,
    "tars": tars.measure,
    "image": images.measure_real,
    "small": images.measure_small,
    "chain": images.measure_chain,
    "pull": pull.measure,
    "latency": latency.measure,
    "handovers": handovers.measure,
    "workers": scaling.measure_workers,
    "reopen": reopen.measure,
    "commands": commands.measure,
}
_CURVE = "curve"
_ROUNDS = 5
_PEER_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    names = [*_BENCHMARKS, _CURVE]
    parser.add_argument("what", nargs="*", choices=[*names, []], help="which; all of them if none")
    parser.add_argument("--in", dest="directory", default="/var/tmp")  # noqa: S108
    parser.add_argument(
        "--rounds", type=int, help=f"how many; {_ROUNDS}, or {_PEER_ROUNDS} against moby"
    )
    parser.add_argument(
        "--plot", type=Path, help="draw cost against size, as PNG or SVG, in FILE and beside it"
    )
    parser.add_argument(
        "--most",
        type=int,
        default=growth.COUNTS[-1],
        metavar="N",
        help="images, names and read-write layers in the largest root of `curve`",
    )
    parser.add_argument(
        "--against", choices=["moby"], help="compare with its layer package, and with nothing else"
    )
    parser.add_argument(
        "--peer-cache", type=Path, default=build.cache_directory(), help="where it is built"
    )
    options = parser.parse_args()
    if options.against is not None:
        if options.what or options.plot:
            parser.error("--against has a table of its own")
        _against_moby(options)
        return
    place = Path(tempfile.mkdtemp(prefix="layerstore-bench-", dir=options.directory))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        bench = _bench(stack, place, options.rounds or _ROUNDS)
        for name in options.what or names:
            if name == _CURVE:
                _curve(bench, options.plot, options.most)
            else:
                _BENCHMARKS[name](bench)
        _summary(bench)


def _against_moby(options: argparse.Namespace) -> None:
    try:
        rounds = options.rounds or _PEER_ROUNDS
        compare.measure(Path(options.directory), rounds, options.peer_cache)
    except build.PeerUnavailable as error:
        raise SystemExit(f"{error}") from error


def _curve(bench: Bench, target: Path | None, most: int) -> None:
    files = lines_of(scaling.measure_curve(bench))
    there_is = growth.measure_growth(bench, most)
    if target is not None:
        plot(files, "files of one layer", target)
        beside = target.with_stem(f"{target.stem}-growth")
        plot(there_is, "images, names and read-write layers", beside)


def _bench(stack: contextlib.ExitStack, place: Path, rounds: int) -> Bench:
    dockerd = None
    try:
        dockerd = stack.enter_context(private_dockerd(str(place)))
        print(dockerd.about())
    except DockerdUnavailable as error:
        print(error)
    storage = None
    if shutil.which("containers-storage"):
        graph = place / "containers"
        stack.callback(unmount_all, str(graph))
        storage = Storage(graph)
    else:
        print("containers-storage is not installed")
    umoci = shutil.which("umoci") is not None
    if not umoci:
        print("umoci is not installed")
    print(f"{rounds} rounds in {place}")
    return Bench(place, rounds, dockerd, storage, umoci)


def _summary(bench: Bench) -> None:
    print("\nlayerstore's time beside dockerd's, where it is longest")
    for ratio, title in worst(bench.tables, 3, "dockerd"):
        print(f"  {ratio:6.2f} x  {title}")


if __name__ == "__main__":
    main()
