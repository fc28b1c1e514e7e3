"""The journal that `layerstore trace` is tried on; no test changes it, so there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trace.traces import record_everything


@pytest.fixture(scope="session")
def journal(base_directory: Path) -> Path:
    """A journal of a store that has done everything."""
    place = base_directory / "traced-for-the-command"
    place.mkdir()
    return record_everything(place)
