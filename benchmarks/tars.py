"""Taking in one tar and giving it back, beside tar, dockerd and containers-storage."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import DURABILITIES, PIECE, Bench
from benchmarks.tar_pass import one_file, small_files
from benchmarks.timing import Table
from tests.support.archives import as_tar, docker_archive

_SMALL = 16 << 20


def measure(bench: Bench) -> None:
    """10,000 files of 4 KiB, and one of 512 MiB."""
    archive = bench.place / "archive.tar"
    for title, make, files in (
        ("10,000 files of 4 KiB", small_files, 10_000),
        ("one file of 512 MiB", one_file, 1),
    ):
        make(str(archive))
        size = archive.stat().st_size
        taken_in = bench.table(f"{title}, taken in", files=files, size=size)
        given_back = bench.table(f"{title}, given back", files=files, size=size)
        compare(bench, archive, taken_in, given_back)
        taken_in.print()
        given_back.print()


def compare(bench: Bench, archive: Path, taken_in: Table, given_back: Table) -> None:
    """Have every contender take a tar in and give it back.

    Small ones are given back twice and timed the second time, as a process that has just been
    started is not what is compared.
    """
    twice = archive.stat().st_size < _SMALL
    image = bench.place / "image.tar"
    image.write_bytes(as_tar(docker_archive([archive.read_bytes()], ["bench:1"])))
    for _ in range(bench.rounds):
        _plain(bench, archive, taken_in, given_back)
        for durability in DURABILITIES:
            with bench.store(durability) as store:
                with taken_in.timed(f"layerstore register, {durability}"):
                    layer = store.register(archive)
                if twice:
                    read_all(layer.tar_stream().read)
                with given_back.timed(f"layerstore tar_stream, {durability}"):
                    read_all(layer.tar_stream().read)
        if bench.dockerd is not None:
            with taken_in.timed("dockerd, load of its archive"):
                bench.dockerd.load(str(image))
            if twice:
                bench.dockerd.save("bench:1")
            with given_back.timed("dockerd, save of its archive"):
                bench.dockerd.save("bench:1")
            bench.dockerd.remove_image("bench:1")
        if bench.storage is not None:
            with taken_in.timed("containers-storage import-layer"):
                layer_id = bench.storage.run("import-layer", "--file", archive)
            with given_back.timed("containers-storage diff"):
                bench.storage.run("diff", "--uncompressed", "--file", os.devnull, layer_id)
            bench.storage.run("delete-layer", layer_id)


def _plain(bench: Bench, archive: Path, taken_in: Table, given_back: Table) -> None:
    tree = bench.directory()
    with taken_in.timed("tar x"):
        subprocess.run(["tar", "-x", "-f", archive, "-C", tree], check=True)
    with given_back.timed("tar c"):
        subprocess.run(f"tar -c -C {tree} . | cat >/dev/null", shell=True, check=True)  # noqa: S602


def read_all(read: Callable[[int], bytes | None]) -> None:
    """Read a stream to its end."""
    while read(PIECE):
        pass
