"""The driver that is tested, on a root of its own in the first place where it works."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore.drivers.errors import DriverNotSupported, LayerStoreError, NotPermitted
from layerstore.drivers.graph.choose import open_driver, reopen_driver
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.root.trash import prepare_trash, sweep, trash_path
from layerstore.drivers.upkeep.recovery import prepare_root

_PLACES = ("/var/tmp", "/dev/shm")  # noqa: S108 - each session makes a directory of its own there


class Root:
    """A root for one driver, as a store has it, without the store."""

    def __init__(self, path: str, driver: str) -> None:
        self.path = path
        self.driver = driver
        self.trash = trash_path(path)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[GraphDriver]:
        """Open the driver for a `with` block, after which nothing is mounted.

        Raises DriverNotSupported, NotPermitted where that can't be.
        """
        prepare_root(self.path, durable=False)
        prepare_trash(self.trash)
        driver, _ = open_driver(self.driver, self.path, durable=False)
        driver.prepare()
        driver.tidy()
        try:
            yield driver
        finally:
            for layer_id in driver.mounted():
                driver.put(layer_id)
            driver.cleanup()

    def open(self) -> GraphDriver:
        """Open it again, as another process of the same store does."""
        return reopen_driver(self.driver, self.path, durable=False)


@pytest.fixture(scope="session")
def driver_root(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Root]:
    """A root on which the driver that is named works; skips where a privilege is missing."""
    name = pytestconfig.getoption("--layerstore-driver") or pytestconfig.getini("layerstore_driver")
    if not name:
        pytest.fail("which driver is to be tested? --layerstore-driver NAME", pytrace=False)
    given = pytestconfig.getoption("--layerstore-place")
    places = [given] if given else [str(tmp_path_factory.getbasetemp()), *_PLACES]
    reasons: list[LayerStoreError] = []
    for place in places:
        root = Root(tempfile.mkdtemp(prefix="layerstore-", dir=place), name)
        try:
            with root.in_use():
                pass
        except (DriverNotSupported, NotPermitted) as error:
            shutil.rmtree(root.path)
            reasons.append(error)
            continue
        yield root
        sweep(root.trash)
        with root.in_use() as driver:
            for layer_id in list(driver.ids()):
                driver.remove(layer_id, root.trash)
        sweep(root.trash)
        shutil.rmtree(root.path)
        return
    told = "; ".join(dict.fromkeys(map(str, reasons)))
    if os.geteuid() != 0 or any(isinstance(reason, NotPermitted) for reason in reasons):
        pytest.skip(told)
    pytest.fail(told, pytrace=False)


@pytest.fixture
def driver(driver_root: Root) -> Iterator[GraphDriver]:
    """The driver."""
    with driver_root.in_use() as driver:
        yield driver


@pytest.fixture
def trash(driver_root: Root) -> str:
    """Where the root's trash lies."""
    return driver_root.trash


@pytest.fixture
def opened(driver_root: Root) -> Callable[[], GraphDriver]:
    """A function that makes another object of the same driver on the same root."""
    return driver_root.open


@pytest.fixture
def outside(driver_root: Root) -> Iterator[Path]:
    """A directory beside the root with a file that nobody may change."""
    place = Path(tempfile.mkdtemp(prefix="outside-", dir=os.path.dirname(driver_root.path)))
    (place / "file").write_bytes(b"untouched")
    yield place
    shutil.rmtree(place)
