"""Errors on their way between processes: a class name and plain arguments.

Owns both directions. What comes in is hostile: what fits no class is an InternalError.
"""

from __future__ import annotations

from layerstore.drivers.errors.base import LayerStoreError
from layerstore.drivers.errors.disk import DriverError
from layerstore.drivers.errors.work import InternalError

Wire = list[str | int | float | None]


def to_wire(error: BaseException, where: str) -> Wire:
    """Flatten an error to its class name and arguments; a foreign one becomes InternalError."""
    if isinstance(error, LayerStoreError):
        return [type(error).__name__, *error.args]
    if isinstance(error, OSError):
        name = error.filename if isinstance(error.filename, str | bytes) else ""  # or a descriptor
        found = DriverError.from_os_error(where, name, error)
        return [type(found).__name__, *found.args]
    return [InternalError.__name__, where, f"{type(error).__name__}: {error}"]


def from_wire(wire: Wire) -> LayerStoreError:
    """Make the error again; anything that does not fit a known class becomes InternalError."""
    name, *arguments = wire or [""]
    cls = LayerStoreError.known.get(str(name))
    if cls is None:
        return InternalError("worker reply", f"unknown error {name!r}")
    try:
        return cls(*arguments)
    except TypeError:
        return InternalError("worker reply", f"bad arguments for error {name!r}")
