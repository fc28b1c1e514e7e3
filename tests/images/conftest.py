"""The check that an archive which was refused, or a call which failed, left nothing behind.

All is tested in every way to have a store.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from layerstore import LayerStore
from tests.images.samples import disk
from tests.support.ways.fixtures import every_way as way

__all__ = ["nothing_is_left", "way"]


@pytest.fixture
def nothing_is_left(store: LayerStore) -> Iterator[None]:
    before = disk(store)
    yield
    assert store.images.list() == []
    assert store.map() == {}
    assert disk(store) == before
