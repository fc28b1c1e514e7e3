"""Stores here have their children from the start and wait for the disk, as they do by default."""

from __future__ import annotations

import pytest

from layerstore import LayerStore
from tests.worker.site import Site


@pytest.fixture(scope="session")
def durability() -> str:
    return "durable"


@pytest.fixture
def prespawn() -> bool:
    return True


@pytest.fixture
def site(store: LayerStore) -> Site:
    return Site(store)
