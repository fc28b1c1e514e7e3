"""Where a graph driver keeps its layers, so that tests name no driver's directories.

Owns nothing: the driver says it.
"""

from __future__ import annotations

import os
from pathlib import Path

from layerstore import LayerStore
from layerstore.drivers.graph.choose import reopen_driver
from layerstore.drivers.graph.protocol import GraphDriver

OVERLAYS = ("overlay2", "fuse-overlayfs")
"""The drivers of overlay2's layout, which mount."""


def driver_of(root: str | os.PathLike[str], name: str) -> GraphDriver:
    """Return the driver of a root that was opened with it before."""
    return reopen_driver(name, os.fspath(root), durable=False)


def home_of(root: str | os.PathLike[str], driver_name: str) -> Path:
    """Return the directory that has a directory for each layer, named by its ID."""
    return Path(driver_of(root, driver_name).home)


def directories_of(store: LayerStore) -> set[str]:
    """Name what lies in the home of a store's driver, overlay2's short links aside."""
    return set(os.listdir(home_of(store.root, store.driver_name))) - {"l"}
