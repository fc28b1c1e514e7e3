"""What no crash and no tar does to a graph driver: the tests that others are given, too."""

from __future__ import annotations

import pytest

from layerstore.drivers.graph.builtin import DRIVERS
from layerstore.testing.driver.test_crashes import *  # noqa: F403
from layerstore.testing.driver.test_hostile import *  # noqa: F403
from tests.conftest import NEEDS_FUSE

CASES = [
    pytest.param(
        "btrfs" if driver == "btrfs" else "tmpfs",
        driver,
        marks=[NEEDS_FUSE] if driver == "fuse-overlayfs" else [],
    )
    for driver in DRIVERS
]

pytestmark = [
    pytest.mark.root,
    pytest.mark.each_driver,
    pytest.mark.parametrize(("place", "driver"), CASES, indirect=True),
]
