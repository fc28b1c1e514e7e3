"""Loading a whole image: a real one, one of small layers, and one whose chain is very long."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from benchmarks.bench import DURABILITIES, Bench, Storage
from benchmarks.timing import Table
from tests.support.archives import as_tar, docker_archive
from tests.support.make_image import make_image
from tests.support.tars import layer_tar, many_files

_DEPTH = 100
_SMALL = 60


def measure_real(bench: Bench) -> None:
    """An image of a minimal Debian, made by mmdebstrap and umoci."""
    place = bench.directory()
    archive = make_image(place)
    table = bench.table("load of a real image (a minimal Debian)", size=archive.stat().st_size)
    _compare(bench, archive, place / "layout", table)
    table.print()


def measure_small(bench: Bench) -> None:
    """60 layers of one to four files each, some of which hide one of a layer beneath."""
    layers = []
    for number in range(_SMALL):
        files = {f"srv/{number}/{name}": b"1" * 500 for name in range(number % 4 + 1)}
        if number % 5 == 4:
            files[f"srv/{number - 1}/.wh.0"] = b""
        layers.append(layer_tar(files))
    archive = bench.directory() / "small.tar"
    archive.write_bytes(as_tar(docker_archive(layers, ["small:1"])))
    table = bench.table(f"load of an image of {_SMALL} small layers")
    _compare(bench, archive, None, table)
    table.print()


def measure_chain(bench: Bench) -> None:
    """100 layers of 10 files, on top of each other; then a read-write layer on them."""
    layers = [layer_tar({f"of-{number}": b"1"}) for number in range(_DEPTH)]
    layers[0] = many_files(10)
    archive = bench.directory() / "chain.tar"
    archive.write_bytes(as_tar(docker_archive(layers, ["chain:1"])))
    table = bench.table(f"load of an image of {_DEPTH} layers")
    _compare(bench, archive, None, table)
    table.print()
    mounting = bench.table(
        f"one read-write layer on {_DEPTH} layers: create, mount, unmount, remove"
    )
    for durability in DURABILITIES:
        with bench.store(durability) as store:
            (image,) = store.images.load(archive)
            for _ in range(bench.rounds * 5):
                with mounting.timed(f"layerstore, {durability}"):
                    rw = store.create_rw_layer("top", image.chain_id)
                    rw.mount()
                    rw.unmount()
                    rw.release()
    if bench.storage is not None:
        _mount_in_storage(bench, bench.storage, layers, mounting)
    mounting.print()


def _compare(bench: Bench, archive: Path, layout: Path | None, table: Table) -> None:
    for _ in range(bench.rounds):
        blobs = bench.directory()
        with tarfile.open(archive) as tar:
            tar.extraction_filter = lambda member, _: member  # before 3.11.4 it means nothing
            tar.extractall(blobs)  # noqa: S202
        (entry,) = json.loads((blobs / "manifest.json").read_bytes())
        tree = bench.directory()
        with table.timed("tar x of each layer into one directory"):
            for blob in entry["Layers"]:
                subprocess.run(["tar", "-x", "-f", blobs / blob, "-C", tree], check=True)
        for durability in DURABILITIES:
            with bench.store(durability) as store, table.timed(f"layerstore load, {durability}"):
                (image,) = store.images.load(archive)
            name = image.names[0]
        if bench.dockerd is not None:
            with table.timed("dockerd, load"):
                bench.dockerd.load(str(archive))
            bench.dockerd.remove_image(name)
        if layout is not None and bench.umoci:
            bundle = bench.directory() / "bundle"
            with table.timed("umoci unpack"):
                quietly("umoci", "unpack", "--image", f"{layout}:latest", str(bundle))
        if bench.storage is not None and layout is not None and shutil.which("skopeo"):
            target = bench.storage.image("localhost/x:1")
            with table.timed("skopeo copy into containers-storage"):
                quietly("skopeo", "copy", f"oci:{layout}:latest", target)
            bench.storage.run("delete-image", "localhost/x:1")


def _mount_in_storage(bench: Bench, storage: Storage, layers: list[bytes], table: Table) -> None:
    tar = bench.directory() / "layer.tar"
    made: list[str] = []
    for layer in layers:
        tar.write_bytes(layer)
        made.append(storage.run("import-layer", "--file", tar, *made[-1:]))
    for _ in range(bench.rounds):
        with table.timed("containers-storage, four commands"):
            top = storage.run("create-layer", made[-1])
            storage.run("mount", top)
            storage.run("unmount", top)
            storage.run("delete-layer", top)
    for layer_id in reversed(made):
        storage.run("delete-layer", layer_id)


def quietly(*command: str) -> None:
    """Run a command that has to succeed; what it tells of its progress isn't shown."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
