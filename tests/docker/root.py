"""A Docker data root that dockerd and layerstore open in turn.

Owns where it lies and who may start on it: never both at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.dockerd import DockerdUnavailable, private_dockerd
from layerstore import LayerStore
from tests.actors.reachable import DiskView
from tests.conftest import NEEDS_FUSE
from tests.docker.api import Docker
from tests.graph.btrfs.layers import make_snapshot

DOCKERS_DRIVERS = (
    "overlay2",
    pytest.param("btrfs", marks=pytest.mark.seldom(3)),
    pytest.param("fuse-overlayfs", marks=[pytest.mark.seldom(3), NEEDS_FUSE]),
    "vfs",
)
"""Of dockerd's storage drivers those that layerstore has too."""

_CGROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True)
class DockerRoot:
    """A data root for one storage driver."""

    place: Path
    driver: str

    @property
    def data(self) -> Path:
        return self.place / "data"

    @contextlib.contextmanager
    def docker(self) -> Iterator[Docker]:
        """Run a dockerd on it for a `with` block."""
        with private_dockerd(
            str(self.place), data_root=str(self.data), driver=self.driver
        ) as daemon:
            yield Docker(daemon)

    def store(self) -> LayerStore:
        """Open it with layerstore."""
        return LayerStore(self.data, driver=self.driver, workers=1, durability="relaxed")

    def view(self) -> DiskView:
        """Read what lies on the disk."""
        return DiskView(self.data, self.driver)

    def copy_to(self, place: Path) -> DockerRoot:
        """Return a copy of it, of which a test can do what it wants."""
        subprocess.run(["cp", "-a", self.data, place / "data"], check=True)
        if self.driver == "btrfs" and place.stat().st_dev == self.place.stat().st_dev:
            for layer in (self.data / "btrfs/subvolumes").iterdir():
                copy = place / "data/btrfs/subvolumes" / layer.name
                shutil.rmtree(copy)
                make_snapshot(str(layer), str(copy))
        return DockerRoot(place, self.driver)


def place_for(driver: str, request: pytest.FixtureRequest, base_directory: Path) -> Path:
    """Make a directory where a storage driver works."""
    above: Path = base_directory
    if driver == "btrfs":
        above = request.getfixturevalue("btrfs_directory")
    return Path(tempfile.mkdtemp(prefix="docker-", dir=above))


def need_dockerd(request: pytest.FixtureRequest, base_directory: Path) -> None:
    """Skip, or fail where CI wants no skips, if no dockerd runs here."""
    reason = _why_no_dockerd(str(base_directory))
    if reason and request.config.getoption("--require-root-tests"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@functools.cache
def _why_no_dockerd(place: str) -> str:
    try:
        with control_groups(), private_dockerd(place):
            return ""
    except DockerdUnavailable as error:
        return str(error)


@contextlib.contextmanager
def control_groups() -> Iterator[None]:
    """Mount control groups, which containers need, where a bare machine has none."""
    if os.path.ismount(_CGROUPS):
        yield
        return
    subprocess.run(["mount", "-t", "cgroup2", "none", _CGROUPS], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", _CGROUPS], check=True)
