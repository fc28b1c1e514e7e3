"""The Disk: everything that a job may touch, and the plain data from which it is made.

Owns no rule; two processes that make it from the same data work on the same root.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct, structs

from layerstore.drivers.confine.apart import Apart
from layerstore.drivers.graph.choose import reopen_driver
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.wanted_confinement import Confine
from layerstore.drivers.records.layerdb import MetadataStore
from layerstore.drivers.root.trash import trash_path


class Disk(Struct, frozen=True):
    """Everything a job may touch."""

    root: str
    driver: GraphDriver
    metadata: MetadataStore
    trash: str
    durable: bool
    limits: Limits
    apart: Apart | None = None
    """Where a tar is unpacked, if not in the process that was given the job."""


@contextlib.contextmanager
def near(disk: Disk) -> Iterator[Disk]:
    """Give the same disk for a `with` block, in which many small things are done to it.

    Its directories are held open there: see GraphDriver.near. Raises DriverError.
    """
    with disk.driver.near() as driver, disk.metadata.near() as metadata:
        yield structs.replace(disk, driver=driver, metadata=metadata)


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """Plain data from which two processes make the same Disk."""

    root: str
    driver: str
    durable: bool
    limits: Limits
    confine: Confine = "auto"


def make_disk(config: DiskConfig, driver: GraphDriver | None = None) -> Disk:
    """Make the Disk of a root, whose driver has been chosen, from its configuration."""
    return Disk(
        root=config.root,
        driver=driver or reopen_driver(config.driver, config.root, durable=config.durable),
        metadata=MetadataStore(config.root, config.driver, durable=config.durable),
        trash=trash_path(config.root),
        durable=config.durable,
        limits=config.limits,
    )
