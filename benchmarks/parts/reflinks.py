"""What vfs' copies cost where they share their content, and what btrfs' snapshots do.

Run as `python -m benchmarks.parts.reflinks [DIRECTORY]`, as root. Makes btrfs and xfs in files of
the directory. A layer is made on one with many small files, and on one with some large ones: by
copies of their bytes, by shared ones, by a snapshot, each with the sync that a durable store waits
for. Figures are the least of several turns, and what the file system has less afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable

from layerstore.drivers.graph.btrfs.driver import BtrfsDriver
from layerstore.drivers.graph.vfs import VfsDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, sweep, trash_path
from layerstore.drivers.tree.copy import Contents

_TURNS = 5
_SMALL, _LARGE = 5_000, 8
_MANY_BYTES = 16 << 20
_MAKE = {"btrfs": ["mkfs.btrfs", "-q", "-f"], "xfs": ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"]}
_Copy = Callable[[Contents, int, int, int], None]


def _bytes(_contents: Contents, source: int, target: int, size: int) -> None:
    """Copy all bytes; copy_file_range(2) would share them, too."""
    done = 0
    while done < size:
        done += os.sendfile(target, source, done, size - done)


def _small(path: str) -> None:
    for number in range(_SMALL):
        directory = f"{path}/{number // 100}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/{number}", "wb") as file:
            file.write(os.urandom(4096))


def _large(path: str) -> None:
    for number in range(_LARGE):
        with open(f"{path}/{number}", "wb") as file:
            file.write(os.urandom(_MANY_BYTES))


_TREES = {f"{_SMALL} files of 4 KiB": _small, f"{_LARGE} files of 16 MiB": _large}


def _free(path: str) -> int:
    os.sync()
    status = os.statvfs(path)
    return status.f_bfree * status.f_frsize


def _measured(driver: VfsDriver, base: str, root: str) -> tuple[float, int]:
    """Return the least seconds of several turns, and the bytes that one takes."""
    taken, bytes_taken = [], 0
    for _ in range(_TURNS):
        before, layer = _free(root), new_id()
        start = time.perf_counter()
        driver.create(layer, base)
        os.sync()
        taken.append(time.perf_counter() - start)
        bytes_taken = before - _free(root)
        driver.remove(layer, trash_path(root))
        sweep(trash_path(root))
    return min(taken), bytes_taken


def _compare(fstype: str, root: str) -> None:
    prepare_trash(trash_path(root))
    ways: list[tuple[str, type[VfsDriver], _Copy]] = [
        ("copied", VfsDriver, _bytes),
        ("shared", VfsDriver, Contents.copy),
    ]
    if fstype == "btrfs":
        ways.append(("snapshot", BtrfsDriver, Contents.copy))
    for title, fill in _TREES.items():
        for what, kind, way in ways:
            driver = kind(root, [], durable=True)
            driver.prepare()
            base = new_id()
            driver.create(base, None)
            fill(driver.tree(base).root)
            usual = Contents.copy
            Contents.copy = way  # type: ignore[method-assign, assignment]
            try:
                seconds, size = _measured(driver, base, root)
            finally:
                Contents.copy = usual  # type: ignore[method-assign]
            print(f"{fstype}, {title}: {what}: {seconds * 1e3:.0f} ms, {size / (1 << 20):.1f} MiB")
            driver.remove(base, trash_path(root))
            sweep(trash_path(root))


def main() -> None:
    """Measure on both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default=tempfile.gettempdir())
    place = tempfile.mkdtemp(dir=parser.parse_args().directory)
    try:
        for fstype, make in _MAKE.items():
            image, mounted = f"{place}/{fstype}.img", f"{place}/{fstype}"
            os.mkdir(mounted)
            with open(image, "wb") as file:
                file.truncate(4 << 30)
            subprocess.run([*make, image], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
            try:
                _compare(fstype, mounted)
            finally:
                subprocess.run(["umount", mounted], check=True)
            os.unlink(image)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
