"""How fast tars are applied and given back, beside `tar x` in the same run.

Run as `python benchmarks/tar_pass.py [DIRECTORY]`; the directory should lie on a tmpfs, so that
the figures are about work and not about a disk. Each figure is the best of several runs.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from typing import BinaryIO, cast

from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar.split.replay_bytes import assemble
from layerstore.drivers.tar.unpack.apply import apply_tar

_RUNS = 3


def small_files(path: str, count: int = 10_000, size: int = 4096) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            if number % 100 == 0:
                directory = tarfile.TarInfo(f"d{number // 100:03}")
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(directory)
            member = tarfile.TarInfo(f"d{number // 100:03}/f{number:05}")
            member.size = size
            tar.addfile(member, io.BytesIO(os.urandom(size)))


def one_file(path: str, size: int = 512 << 20) -> None:
    block = os.urandom(1 << 20)
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("big")
        member.size = size
        with tempfile.TemporaryFile(dir=os.path.dirname(path)) as content:
            for _ in range(size >> 20):
                content.write(block)
            content.seek(0)
            tar.addfile(member, content)


def best(action: Callable[[], None], prepare: Callable[[], None]) -> float:
    taken = []
    for _ in range(_RUNS):
        prepare()
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure(work: str, archive: str, files: int) -> None:
    tree = os.path.join(work, "tree")
    records = os.path.join(work, "tar-split")
    layer = LayerTree(tree, (), WhiteoutFormat.OVERLAY)

    def prepare() -> None:
        shutil.rmtree(tree, ignore_errors=True)
        os.mkdir(tree)

    def extract() -> None:
        subprocess.run(["tar", "-x", "-f", archive, "-C", tree], check=True)

    def apply(*, split: bool) -> None:
        with open(archive, "rb", buffering=0) as source, open(records, "wb") as lines:
            apply_tar(cast("BinaryIO", source), layer, tar_split=lines if split else None)

    def give_back() -> None:
        with open(records, "rb") as lines, open(os.devnull, "wb", buffering=0) as out:
            assemble(lines, tree, cast("BinaryIO", out))

    figures = {
        "tar x": best(extract, prepare),
        "apply": best(lambda: apply(split=False), prepare),
        "apply with tar-split": best(lambda: apply(split=True), prepare),
        "give back": best(give_back, lambda: None),
    }
    size = os.stat(archive).st_size / 1e6
    for name, seconds in figures.items():
        print(
            f"  {name:22}{seconds:8.3f} s{files / seconds:12,.0f} files/s{size / seconds:8.0f} MB/s"
        )
    shutil.rmtree(tree)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=parser.parse_args().directory) as work:
        archive = os.path.join(work, "archive.tar")
        print("10,000 files of 4 KiB")
        small_files(archive)
        measure(work, archive, 10_000)
        print("one file of 512 MiB")
        one_file(archive)
        measure(work, archive, 1)


if __name__ == "__main__":
    main()
