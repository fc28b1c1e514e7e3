"""Other programs that keep layers: containers-storage and umoci, each beneath one directory.

What they mount is unmounted when the block ends, whatever happened in it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.syscalls import umount
from tests.support.archives import as_directory, oci_layout


def need(config: pytest.Config, *tools: str) -> None:
    """Skip the test where a tool isn't installed, or fail it under --require-root-tests."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and config.getoption("--require-root-tests"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(*command: str | Path, given: bytes = b"") -> bytes:
    """Run a command and return what it printed."""
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


class ContainersStorage:
    """A store of containers-storage; a layer's name is what `add` returned."""

    def __init__(self, place: Path, driver: str) -> None:
        self.driver = driver
        self._place = place
        options: list[str | Path] = [
            "--graph",
            place / "graph",
            "--run",
            place / "run",
            "--storage-driver",
            driver,
        ]
        self._options = options

    def _run(self, command: str, *arguments: str | Path, given: bytes = b"") -> bytes:
        return run("containers-storage", *self._options, command, *arguments, given=given)

    def add(self, tar: bytes, parent: str | None = None) -> tuple[str, str]:
        """Add a layer; return its name and the diff ID that it is reported to have."""
        above = [] if parent is None else [parent]
        (made,) = _json_lines(self._run("import-layer", "--json", *above, given=tar))
        return made["id"], made["diff-digest"]

    def add_by_applying(self, tar: bytes, parent: str | None) -> str:
        """Make an empty layer, apply a tar to it and return its name."""
        above = [] if parent is None else [parent]
        (made,) = _json_lines(self._run("create-layer", "--json", *above))
        self._run("applydiff", made["id"], given=tar)
        name: str = made["id"]
        return name

    def diff_id(self, layer: str) -> str:
        """Return the diff ID that a layer is reported to have."""
        (facts,) = json.loads(self._run("layer", "--json", layer))
        found: str = facts["diff-digest"]
        return found

    def diff(self, layer: str) -> bytes:
        """Export a layer as an uncompressed tar."""
        return self._run("diff", "--uncompressed", layer)

    def pass_on(self, layout: Path, target: Path) -> None:
        """Copy the image of an OCI layout into the store, and from the store to another layout."""
        graph, state = self._place / "graph", self._place / "run"
        image = f"containers-storage:[{self.driver}@{graph}+{state}]localhost/passed-on:1"
        run("skopeo", "copy", f"oci:{layout}:latest", image)
        run("skopeo", "copy", image, f"oci:{target}:latest")

    def new(self, parent: str) -> str:
        """Make a layer to write in."""
        (made,) = _json_lines(self._run("create-layer", "--json", parent))
        name: str = made["id"]
        return name

    @contextmanager
    def mounted(self, layer: str) -> Iterator[Path]:
        """Mount a layer."""
        yield Path(self._run("mount", layer).decode().rstrip("\n"))
        self._run("unmount", layer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Unmount everything, the bind mount that the store leaves on itself too."""
        left = [point.path for point in mount_points() if point.path.startswith(f"{self._place}/")]
        for path in sorted(left, reverse=True):
            umount(path)


def _json_lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def make_layout(layers: Sequence[bytes], place: Path) -> Path:
    """Write an OCI layout with one image, `latest`."""
    return as_directory(oci_layout(layers, {"org.opencontainers.image.ref.name": "latest"}), place)


class Umoci:
    """An OCI layout and what umoci unpacked from it."""

    def __init__(self, place: Path, layers: Sequence[bytes]) -> None:
        self.layout = make_layout(layers, place / "layout")
        self._bundle = place / "bundle"
        run("umoci", "unpack", "--image", f"{self.layout}:latest", self._bundle)
        self.tree = self._bundle / "rootfs"

    def repack(self) -> list[str]:
        """Add a layer with what was changed in the tree; return the image's diff IDs."""
        run("umoci", "repack", "--image", f"{self.layout}:latest", self._bundle)
        index = json.loads((self.layout / "index.json").read_bytes())
        config = self._blob(self._blob(index["manifests"][0])["config"])
        found: list[str] = config["rootfs"]["diff_ids"]
        return found

    def _blob(self, described: dict[str, Any]) -> dict[str, Any]:
        path = self.layout / "blobs" / described["digest"].replace(":", "/")
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
