"""The check that an archive which was refused, or a call which failed, left nothing behind.

All is tested in every way to have a store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.images.samples import disk
from tests.support.ways.fixtures import every_way as way

__all__ = ["nothing_is_left", "way"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # An image is read, kept and written in the same way, whatever makes its layers.
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.any_driver)


@pytest.fixture
def nothing_is_left(store: LayerStore) -> Iterator[None]:
    before = disk(store)
    yield
    assert store.images.list() == []
    assert store.map() == {}
    assert disk(store) == before
