"""All that is known of images, read-write layers and layers, as JSON or through a template.

Owns the keys, which are docker's where docker has the fact.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from layerstore.command.output.documents import print_found
from layerstore.command.verbs.changing import find
from layerstore.command.verbs.listings import mount_facts, sizes
from layerstore.drivers.errors import (
    AmbiguousName,
    ImageDoesNotExist,
    InvalidName,
    LayerDoesNotExist,
    LayerStoreError,
    MountDoesNotExist,
)
from layerstore.drivers.model.docker_config import process_of
from layerstore.images.image import sizes_of

if TYPE_CHECKING:
    from layerstore.actors.messages import LayerMetadata
    from layerstore.api.store import LayerStore
    from layerstore.drivers.model.ids import ChainID

Facts = dict[str, Any]
_START_OF_ID = re.compile(r"(?:sha256:)?[0-9a-f]{4,64}\Z")
_ASKED = "StorageOpt."
"""What graph drivers put before what a read-write layer was asked to be."""


def inspect(store: LayerStore, options: argparse.Namespace) -> int:
    """Print everything about each name; the bad ones don't keep the others."""
    found, status = [], 0
    for name in options.names:
        try:
            found.append(_inspected(store, name, options.type))
        except LayerStoreError as error:
            print(f"layerstore: {error}", file=sys.stderr)
            status = 1
    print_found(found, options.format)
    return status


def _inspected(store: LayerStore, name: str, kind: str | None) -> Facts:
    """Return the facts of what has this name: a read-write layer, else an image, else a layer."""
    kinds: dict[str, Callable[[LayerStore, str], Facts]] = {
        "mount": _mount,
        "container": _mount,
        "image": _image,
        "layer": _layer,
    }
    if kind is not None:
        return kinds[kind](store, name)
    for look in dict.fromkeys(kinds.values()):
        try:
            return look(store, name)
        except (MountDoesNotExist, ImageDoesNotExist, LayerDoesNotExist):
            continue
        except AmbiguousName:
            raise
        except InvalidName:  # for another kind it can be a name
            continue
    raise NothingNamed(name)


class NothingNamed(LayerStoreError):
    """Neither a read-write layer nor an image nor a layer has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no read-write layer, image or layer {self.name}"


def _mount(store: LayerStore, name: str) -> Facts:
    rw = find(store, name)
    facts = mount_facts(store, rw.facts)
    data = rw.metadata()
    asked = {key.partition(".")[2]: data.pop(key) for key in [*data] if key.startswith(_ASKED)}
    return {
        "Id": facts["id"],
        "Name": facts["name"],
        "Created": facts["created"],
        "Image": facts["image_id"],
        "ImageName": facts["image"],
        "Parent": facts["parent"],
        "InitId": facts["init_id"],
        "IdMap": facts["id_map"],
        "State": {"Status": facts["state"], "Mounted": facts["path"] is not None},
        "Path": facts["path"],
        **sizes(rw, sizes_of(store, rw.parent)[1]),
        "StorageOpt": asked,
        "GraphDriver": {"Name": store.driver_name, "Data": data},
    }


def _image(store: LayerStore, name: str) -> Facts:
    image = store.images.get(name)
    document = store.images.config(image.id)
    driver: Facts = {"Name": store.driver_name, "Data": None}
    if image.chain_id is not None and image.missing is None:
        driver["Data"] = _driver_data(store, image.chain_id)
    return {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Parent": image.parent or "",
        "Comment": (image.history[-1].comment or "") if image.history else "",
        "Created": image.created,
        "Author": document.get("author") or "",
        "Config": process_of(document),
        "Architecture": image.architecture,
        "Variant": document.get("variant") or "",
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": driver,
        "RootFS": {
            "Type": "layers",
            "Layers": (document.get("rootfs") or {}).get("diff_ids") or [],
            "ChainIDs": list(image.layers),
        },
        "Annotations": list(image.annotations),
        "Missing": image.missing,
    }


def _layer(store: LayerStore, name: str) -> Facts:
    layer = _find_layer(store, name)
    return {
        "Id": layer.chain_id,
        "DiffId": layer.diff_id,
        "Parent": layer.parent or "",
        "CacheId": layer.cache_id,
        "Size": layer.diff_size,
        "ChainSize": layer.size,
        "Depth": layer.depth,
        "References": layer.references,
        "Descriptor": json.loads(layer.descriptor) if layer.descriptor else None,
        "GraphDriver": {
            "Name": store.driver_name,
            "Data": _driver_data(store, layer.chain_id),
        },
    }


def _find_layer(store: LayerStore, name: str) -> LayerMetadata:
    """Return a layer by its chain ID, or by the start of that."""
    if not _START_OF_ID.match(name):
        raise LayerDoesNotExist(name)
    return store.find_layer(name)


def _driver_data(store: LayerStore, chain: ChainID) -> dict[str, str]:
    layer = store.get(chain)
    try:
        return layer.metadata()
    finally:
        layer.release()
