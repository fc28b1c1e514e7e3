"""Stores here have the driver with which layers are registered ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from layerstore import LayerStore
from tests.support.waiting import Held, held


@pytest.fixture
def driver_name() -> str:
    """Where each layer is a directory of its own."""
    if os.geteuid() != 0:
        pytest.skip("overlay2 needs root")
    return "overlay2"


@pytest.fixture
def committing(store: LayerStore) -> Iterator[Held]:
    """The commit of layers, which waits for the test."""
    waits = held(store.core.disk.metadata, "commit_layer")
    yield waits
    waits.go_on.set()
