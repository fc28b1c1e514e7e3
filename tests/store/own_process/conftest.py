"""Stores with an engine of their own, which is a child of this process in any way."""

from __future__ import annotations

from functools import partial

import pytest

from layerstore import LayerStore
from tests.conftest import OpenStore
from tests.support.ways.fixtures import way

__all__ = ["way"]


@pytest.fixture
def open_own(open_store: OpenStore) -> OpenStore:
    """Open the test's store with an engine of its own."""
    return partial(open_store, engine="process")


@pytest.fixture
def own(open_own: OpenStore) -> LayerStore:
    """A store with an engine of its own."""
    return open_own()
