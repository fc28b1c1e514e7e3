"""What of a layer only some processes see: mounts that belong to it, and how others get to them.

Owns the ability's form. A child that is confined sees the root's file system and no mount beneath
it, so what of a layer lies in a mount is lent to it for one job, as a mount that lies nowhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from layerstore.drivers.errors import InternalError
from layerstore.drivers.graph.protocol import GraphDriver


@runtime_checkable
class Lends(Protocol):
    """A graph driver some of whose layers lie in mounts of their own; others needn't have these."""

    def lend(self, layer_id: str) -> int | None:
        """Return the descriptor of a mount that lies nowhere, the caller's to close.

        None for a layer all of which lies in the root's own file system. Raises DriverError.
        """

    def borrow(self, layer_id: str, lent: int) -> AbstractContextManager[None]:
        """Have what `lend` has returned elsewhere at its place, for a `with` block.

        Where this process sees that anyway nothing is done. Raises DriverError.
        """


def lend(driver: GraphDriver, layers: Sequence[str]) -> dict[str, int]:
    """Return what is to be lent of layers, by their IDs. Raises DriverError."""
    lent: dict[str, int] = {}
    if isinstance(driver, Lends):
        for layer_id in layers:
            fd = driver.lend(layer_id)
            if fd is not None:
                lent[layer_id] = fd
    return lent


@contextlib.contextmanager
def borrowing(driver: GraphDriver, layers: Sequence[str], numbers: Sequence[int]) -> Iterator[None]:
    """Have at its place what was lent of layers; the descriptors are closed in the end."""
    with contextlib.ExitStack() as stack:
        for number in numbers:
            stack.callback(os.close, number)
        if layers and not isinstance(driver, Lends):
            raise InternalError("borrow", f"{driver.name} lends nothing")
        for layer_id, number in zip(layers, numbers, strict=True):
            if isinstance(driver, Lends):
                stack.enter_context(driver.borrow(layer_id, number))
        yield
