"""What faces fill in for an operation, and what they are told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from layerstore.operations.handles import LayerHandle, RWLayerHandle

Layer = TypeVar("Layer", bound=LayerHandle)
"""A face's class of read-only layers."""
RWLayer = TypeVar("RWLayer", bound=RWLayerHandle)
"""A face's class of read-write layers."""
Asking = TypeVar("Asking", bound=Callable[..., object])


def timed(operation: Asking) -> Asking:
    """Have faces that wait take a `timeout` in seconds."""
    return operation


def text_of(name: str) -> str:
    """Return a name; TypeError here, where it is the caller's, for what is no text."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a string, not {name!r}")
    return name
