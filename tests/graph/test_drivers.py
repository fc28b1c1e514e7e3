"""What every graph driver does, on every file system: the tests that others are given, too."""

from __future__ import annotations

import pytest

from layerstore.drivers.graph.builtin import DRIVERS
from layerstore.testing.driver.test_differences import *  # noqa: F403
from layerstore.testing.driver.test_life import *  # noqa: F403
from tests.conftest import NEEDS_FUSE

FILE_SYSTEMS = ("ext4", "xfs", "btrfs", "tmpfs")
CASES = [
    pytest.param(system, driver, marks=[NEEDS_FUSE] if driver == "fuse-overlayfs" else [])
    for system in FILE_SYSTEMS
    for driver in DRIVERS
    if driver != "btrfs" or system == "btrfs"
]

pytestmark = [
    pytest.mark.root,
    pytest.mark.each_driver,
    pytest.mark.parametrize(("place", "driver"), CASES, indirect=True),
]
