"""Making layers for tests of a driver, and undoing what a crash has left of them.

Owns no rule: what is done here the store does, with its books.
"""

from __future__ import annotations

import io
import os
from collections.abc import Set

from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.testing.driver.tars import Content, layer_tar


def make_layer(
    driver: GraphDriver, parent: str | None, files: dict[str, Content], **fields: int
) -> str:
    layer_id = new_id()
    driver.create(layer_id, parent)
    driver.apply_diff(layer_id, parent, io.BytesIO(layer_tar(files, **fields)))
    return layer_id


def make_read_write(driver: GraphDriver, parent: str | None) -> str:
    layer_id = new_id()
    driver.create_read_write(layer_id, parent)
    return layer_id


def changes(driver: GraphDriver, layer_id: str, parent: str | None) -> list[str]:
    return [str(change) for change in driver.changes(layer_id, parent)]


def names(path: str) -> list[str]:
    return sorted(os.listdir(path))


def recover(driver: GraphDriver, known: Set[str], trash: str) -> None:
    """Do what opening a root does after a crash: only layers that are `known` stay."""
    mounted = driver.mounted()
    for layer_id in set(driver.ids()) - known:
        if layer_id in mounted:
            driver.put(layer_id)
        driver.remove(layer_id, trash)
    driver.tidy()
