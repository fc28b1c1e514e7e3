"""What every benchmark works with: a directory, the contenders that are there, and its tables."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.dockerd import Dockerd
from benchmarks.timing import Table
from layerstore import LayerStore
from layerstore.api.options import Durability

DURABILITIES: tuple[Durability, ...] = ("durable", "relaxed")
PIECE = 1 << 20


@dataclass(frozen=True)
class Storage:
    """containers-storage with a store of its own beneath one directory."""

    place: Path
    driver: str = "overlay"

    def run(self, command: str, *arguments: str | Path) -> str:
        """Run one command and return its first line."""
        options = ("--graph", self.place / "graph", "--run", self.place / "run")
        done = subprocess.run(
            ["containers-storage", *options, "--storage-driver", self.driver, command, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.partition("\n")[0]

    def image(self, name: str) -> str:
        """Return the name by which skopeo knows an image of this store."""
        where = f"{self.driver}@{self.place / 'graph'}+{self.place / 'run'}"
        return f"containers-storage:[{where}]{name}"


@dataclass
class Bench:
    """One run of benchmarks."""

    place: Path
    rounds: int
    dockerd: Dockerd | None
    storage: Storage | None
    umoci: bool
    tables: list[Table] = field(default_factory=list)

    def table(self, title: str, *, files: int = 0, size: int = 0) -> Table:
        """Begin a table, which is printed by `print` and counts in the summary."""
        table = Table(title, files, size)
        self.tables.append(table)
        return table

    def directory(self) -> Path:
        """Make an empty directory."""
        return Path(tempfile.mkdtemp(dir=self.place))

    @contextlib.contextmanager
    def store(
        self,
        durability: Durability = "relaxed",
        *,
        root: Path | None = None,
        workers: int | None = None,
    ) -> Iterator[LayerStore]:
        """Open a store, in an empty directory if none is given, and wait until it is warm."""
        with LayerStore(root or self.directory(), durability=durability, workers=workers) as store:
            await_children(store, workers or os.cpu_count() or 1)
            yield store


def await_children(store: LayerStore, count: int) -> None:
    """Have every child started: one job each, at the same time."""
    layers = [store.create_rw_layer(f"warm-{number}") for number in range(count)]
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda layer: layer.size(), layers))
    for layer in layers:
        layer.release()
