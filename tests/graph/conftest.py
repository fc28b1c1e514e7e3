"""The drivers that are built in, as the tests that others are given want them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore.drivers.graph.protocol import GraphDriver

pytest.register_assert_rewrite("layerstore.testing.driver")

from layerstore.testing.driver.conftest import Root, outside  # noqa: E402, F401


@pytest.fixture(scope="module")
def places(make_file_system: Callable[[str, int], Path]) -> Callable[[str], Path]:
    """Return a file system of a type, which is made once for a module: tests take them in turns."""
    return functools.cache(lambda fstype: make_file_system(fstype, 512))


@pytest.fixture
def place(request: pytest.FixtureRequest, places: Callable[[str], Path]) -> Path:
    return places(request.param)


@pytest.fixture
def driver_root(driver: GraphDriver, place: Path) -> Root:
    return Root(str(place / driver.name), driver.name)


@pytest.fixture
def driver(place: Path, request: pytest.FixtureRequest) -> Iterator[GraphDriver]:
    with Root(str(place / request.param), request.param).in_use() as driver:
        yield driver


@pytest.fixture
def trash(driver_root: Root) -> str:
    return driver_root.trash


@pytest.fixture
def opened(driver_root: Root) -> Callable[[], GraphDriver]:
    return driver_root.open
