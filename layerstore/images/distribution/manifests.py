"""Manifests and indexes as they are pushed.

Owns their media types and their bytes, which are the same for equal content; docker's are those
that docker pushes. Sources: distribution's manifest/schema2 and manifestlist, the OCI image
specification's "Image Manifest" and "Image Index".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from layerstore.drivers.model.platform import Platform
from layerstore.drivers.tar.compress import Way
from layerstore.images.distribution.policy import PushFormat
from layerstore.images.registry.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)

_MANIFEST: dict[PushFormat, str] = {"docker": DOCKER_MANIFEST, "oci": OCI_MANIFEST}
_INDEX: dict[PushFormat, str] = {"docker": DOCKER_LIST, "oci": OCI_INDEX}
_CONFIG: dict[PushFormat, str] = {
    "docker": "application/vnd.docker.container.image.v1+json",
    "oci": "application/vnd.oci.image.config.v1+json",
}
_LAYER: dict[PushFormat, str] = {
    "docker": "application/vnd.docker.image.rootfs.{}diff.tar",
    "oci": "application/vnd.oci.image.layer.{}v1.tar",
}
_FOREIGN: dict[PushFormat, str] = {"docker": "foreign.", "oci": "nondistributable."}
_SEPARATOR: dict[PushFormat, str] = {"docker": ".", "oci": "+"}

Packing = Way | Literal["plain"]


class LayerBlob(Struct, frozen=True):
    """A layer as a manifest lists it."""

    digest: str
    size: int
    packing: Packing
    urls: tuple[str, ...] | None = None
    """Of a foreign layer: where to have it from."""


class Member(Struct, frozen=True):
    """A manifest as an index lists it."""

    media_type: str
    digest: str
    size: int
    platform: Platform


def format_for(layers: Sequence[LayerBlob], wanted: PushFormat | None) -> PushFormat:
    """Return the format that is wanted, by default docker's if it has words for all layers."""
    zstd = any(layer.packing == "zstd" for layer in layers)
    return wanted or ("oci" if zstd else "docker")


def image_manifest(
    config: tuple[str, int], layers: Sequence[LayerBlob], written: PushFormat
) -> tuple[str, bytes]:
    """Return a manifest's media type and bytes; `config` is digest and size."""
    document = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST[written],
        "config": _descriptor(_CONFIG[written], *config),
        "layers": [_layer(layer, written) for layer in layers],
    }
    return _MANIFEST[written], _encoded(document, written)


def index(members: Sequence[Member], written: PushFormat) -> tuple[str, bytes]:
    """Return an index's media type and bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": _INDEX[written],
        "manifests": [
            {
                **_descriptor(member.media_type, member.digest, member.size),
                "platform": _platform(member.platform),
            }
            for member in members
        ],
    }
    return _INDEX[written], _encoded(document, written)


def _layer(layer: LayerBlob, written: PushFormat) -> dict[str, Any]:
    media_type = _LAYER[written].format(_FOREIGN[written] if layer.urls else "")
    if layer.packing != "plain":
        media_type += _SEPARATOR[written] + layer.packing
    described = _descriptor(media_type, layer.digest, layer.size)
    if layer.urls:
        described["urls"] = list(layer.urls)
    return described


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "size": size, "digest": digest}


def _platform(platform: Platform) -> dict[str, str]:
    named = {"architecture": platform.architecture, "os": platform.os}
    return named | ({"variant": platform.variant} if platform.variant else {})


def _encoded(document: dict[str, Any], written: PushFormat) -> bytes:
    """Write docker's as docker does, so that equal manifests have equal digests."""
    if written == "oci":
        return msgspec.json.encode(document)
    text = json.dumps(document, indent=3, ensure_ascii=False)
    for character in "<>&":  # which stand in strings only; Go writes them so
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()
