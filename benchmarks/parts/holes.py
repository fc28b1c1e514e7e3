"""What it costs to look for zeros in what is unpacked, and what a file with holes costs.

Run as `python -m benchmarks.parts.holes [DIRECTORY]`. Ordinary layers are applied in turns with and
without looking, in the same run, so that both have the same machine; each figure is the CPU's time,
the best of several turns. Then a file of 4 GiB with 8 KiB of data is committed, in each form.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import BinaryIO, cast

from benchmarks.tar_pass import one_file, small_files
from layerstore import LayerStore
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar.unpack import content
from layerstore.drivers.tar.unpack.apply import apply_tar

_TURNS = 7
_SIZE = 4 << 30
_Look = Callable[[memoryview, int], list[tuple[int, int]] | None]
_LOOKING: _Look = content._without_zeros


def _not_looking(_piece: memoryview, _at: int) -> None:
    return None


def _apply(archive: str, tree: str) -> float:
    shutil.rmtree(tree, ignore_errors=True)
    os.mkdir(tree)
    layer = LayerTree(tree, (), WhiteoutFormat.OVERLAY)
    with open(archive, "rb", buffering=0) as source, open(os.devnull, "wb") as lines:
        start = time.process_time()
        apply_tar(cast("BinaryIO", source), layer, tar_split=lines)
        return time.process_time() - start


def compare(title: str, make: Callable[[str], None], work: str) -> None:
    """Print how long a layer takes with and without looking for zeros."""
    archive, tree = os.path.join(work, "archive.tar"), os.path.join(work, "tree")
    make(archive)
    taken: dict[str, list[float]] = {"not looking": [], "looking": []}
    for _ in range(_TURNS):
        looks: list[tuple[str, _Look]] = [("not looking", _not_looking), ("looking", _LOOKING)]
        for name, look in looks:
            content._without_zeros = look  # type: ignore[assignment]
            taken[name].append(_apply(archive, tree))
    without, looking = (min(times) for times in taken.values())
    print(f"{title}: {without:.3f} s, looking for zeros {looking:.3f} s", end="")
    print(f" ({(looking / without - 1) * 100:+.1f} %)")
    shutil.rmtree(tree)
    os.unlink(archive)


def commit(work: str) -> None:
    """Print how long the commit of a file with a large hole takes, and what the layer takes."""
    root = os.path.join(work, "store")
    with (
        LayerStore(root, driver="overlay2", durability="relaxed") as store,
        store.create_rw_layer("disk", None) as rw,
    ):
        with rw.mounted() as path, open(f"{path}/disk.img", "wb") as file:
            file.write(os.urandom(4096))
            file.seek(_SIZE - 4096)
            file.write(os.urandom(4096))
        for sparse in (False, True):
            start = time.perf_counter()
            image = store.images.commit(rw, "disk:1", sparse=sparse)
            taken = time.perf_counter() - start
            layer = store.get(image.chain_id or "")
            upper = layer.metadata()["UpperDir"]
            layer.release()
            blocks = os.stat(f"{upper}/disk.img").st_blocks
            form = "sparse" if sparse else "plain"
            print(f"4 GiB with 8 KiB of data, {form}: {taken:.2f} s, {blocks // 2} KiB on disk")
            store.images.remove(image.id)


def main() -> None:
    """Do it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=parser.parse_args().directory) as work:
        compare("10,000 files of 4 KiB", small_files, work)
        compare("one file of 512 MiB", one_file, work)
        commit(work)


if __name__ == "__main__":
    main()
