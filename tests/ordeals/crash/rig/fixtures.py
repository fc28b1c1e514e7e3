"""The harness as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.drivers.system.syscalls import mount, umount
from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.harness import Harness

_BYTES = 4 << 30
"""More than a store wants to be free before it makes something."""


@pytest.fixture(scope="module")
def harness(base_directory: Path, request: pytest.FixtureRequest) -> Iterator[Harness]:
    """What tries scenarios, in memory: what a disk holds back until it is synced is a model's."""
    library = seam.build(base_directory)  # this process keeps it loaded
    place = base_directory / "crash"
    place.mkdir()
    mount("none", str(place), "tmpfs", 0, f"size={_BYTES}")
    try:
        harness = Harness(place, library)
        if any(case.driver == "btrfs" for case in getattr(request.module, "CASES", ())):
            harness.put("btrfs", request.getfixturevalue("btrfs_directory"))
        yield harness
        harness.close()
    finally:
        umount(str(place))
        place.rmdir()
