"""A process is killed at each step of each method: what the next one finds, and goes on with."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.testing.driver.killing import killed_before
from layerstore.testing.driver.making import make_layer, make_read_write, names, recover
from layerstore.testing.driver.tars import layer_tar
from layerstore.testing.driver.trees import Facts, read_tree

MOST = 400
"""Steps of a method, beyond which a driver does more than it needs for a few small files."""
FILES = {"dir": None, "dir/file": b"1", "dir/.wh.old": b"", "link": "dir"}


class Scene:
    """A base layer with a read-write layer on it, which no crash may harm."""

    def __init__(self, driver: GraphDriver, trash: str) -> None:
        self.driver = driver
        self.trash = trash
        self.base = make_layer(driver, None, {"dir": None, "dir/old": b"1", "file": b"base"})
        self.other = make_read_write(driver, self.base)
        self._before = self._facts()

    def _facts(self) -> list[dict[str, Facts]]:
        shown = read_tree(self.driver.get(self.other))
        self.driver.put(self.other)
        del shown["."]  # a mount's own times are the kernel's
        return [shown, read_tree(self.driver.tree(self.base).root)]

    def recovered(self, *known: str) -> None:
        """Recover as the next open does, and look whether all is as it was."""
        kept = {self.base, self.other, *known}
        recover(self.driver, kept, self.trash)
        assert set(self.driver.ids()) == kept
        assert self.driver.mounted() == set()
        parents = {self.base: None, self.other: self.base, **dict.fromkeys(known, self.base)}
        assert list(self.driver.faults(parents)) == []
        assert self._facts() == self._before


@pytest.fixture
def scene(driver: GraphDriver, trash: str) -> Scene:
    recover(driver, set(), trash)
    return Scene(driver, trash)


def create(driver: GraphDriver, scene: Scene, layer: str) -> None:
    driver.create(layer, scene.base)


def create_read_write(driver: GraphDriver, scene: Scene, layer: str) -> None:
    driver.create_read_write(layer, scene.base)


def apply_diff(driver: GraphDriver, scene: Scene, layer: str) -> None:
    driver.create(layer, scene.base)
    driver.apply_diff(layer, scene.base, io.BytesIO(layer_tar(FILES)))


def get(driver: GraphDriver, scene: Scene, layer: str) -> None:
    driver.create_read_write(layer, scene.base)
    path = driver.get(layer)
    with open(f"{path}/new", "wb") as new:
        new.write(b"1")


@pytest.mark.parametrize("method", [create, create_read_write, apply_diff, get])
def test_what_is_being_made_is_nobody_s(
    driver: GraphDriver, scene: Scene, method: Callable[[GraphDriver, Scene, str], None]
) -> None:
    number = 1
    while killed_before(number, lambda: method(driver, scene, new_id())):
        scene.recovered()
        number += 1
        assert number <= MOST
    assert number > 1
    scene.recovered()


def test_what_was_mounted_is_mounted_again(driver: GraphDriver, scene: Scene) -> None:
    def use() -> None:
        path = driver.get(layer)
        assert names(path) == ["dir", "file"]
        driver.put(layer)

    layer = make_read_write(driver, scene.base)
    number = 1
    while killed_before(number, use):
        for mounted in driver.mounted():
            driver.put(mounted)
        scene.recovered(layer)
        number += 1
        assert number <= MOST
    use()


def test_what_is_being_removed_is_there_or_in_the_trash(
    driver: GraphDriver, scene: Scene, trash: str
) -> None:
    number = 1
    while True:
        layer = make_layer(driver, scene.base, {"own": b"1"})
        killed = killed_before(number, lambda gone=layer: driver.remove(gone, trash))  # type: ignore[misc]
        if driver.exists(layer):
            assert os.path.exists(f"{driver.tree(layer).root}/own")
        if not killed:
            break
        driver.remove(layer, trash)
        scene.recovered()
        number += 1
        assert number <= MOST
    assert not driver.exists(layer)
    scene.recovered()
