"""Committing: a read-write layer's changes become a read-only layer, for a new image.

Owns the layer while the image is being made, and the words of its step of history.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from layerstore.drivers.errors import CallerError, LayerStoreError
from layerstore.drivers.model.docker_config import process_of
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.image_config import EMPTY_LAYER, child_config
from layerstore.drivers.model.platform import host_platform
from layerstore.operations.blocking import BlockingStore, RWLayer

if TYPE_CHECKING:
    from layerstore.operations.blocking import Layer

_OF_BUILDS = ("OnBuild", "Shell")


@contextlib.contextmanager
def committed_layer(store: BlockingStore, rw: RWLayer, *, sparse: bool) -> Iterator[DiffID | None]:
    """Register a layer's changes, retained for the length of a `with` block.

    Gives the diff ID, or None where nothing is changed.
    """
    layer = _register(store, rw, sparse=sparse)
    try:
        yield layer.diff_id if layer.diff_id != EMPTY_LAYER else None
    finally:
        layer.release()


def _register(store: BlockingStore, rw: RWLayer, *, sparse: bool) -> Layer:
    with rw.tar_stream(sparse) as stream:
        try:
            return store.register(stream, rw.parent)
        except CallerError as error:
            # The stream's own verdict says more than that it could not be read.
            if isinstance(error.__cause__, LayerStoreError):
                raise error.__cause__ from error
            raise


def committed_config(
    parent: bytes | None,
    layer: DiffID | None,
    *,
    name: str,
    created: str,
    author: str,
    comment: str,
) -> bytes:
    """Make the configuration of the image that a commit of the read-write layer `name` makes.

    As with docker, what the parent says of builds is no more: ONBUILD and SHELL.
    """
    made = child_config(
        parent,
        layer,
        created=created,
        created_by=f"layerstore commit {name}",
        author=author,
        comment=comment,
        architecture=host_platform().architecture,
    )
    document: dict[str, Any] = msgspec.json.decode(made)
    process = process_of(document)
    for key in _OF_BUILDS:
        process.pop(key, None)
    document["config"] = process
    return msgspec.json.encode(document, order="sorted")
