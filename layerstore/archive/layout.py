"""The documents of an OCI image layout: index, manifest, descriptor, and their media types.

Owns their fields, read as Go reads them, and what each type is. It follows no descriptor. Sources:
the OCI image specification's "Image Index", "Image Manifest", "Content Descriptors" and
"Annotations".
"""

from __future__ import annotations

import binascii
import re
from typing import Any, TypeVar

import msgspec

from layerstore.archive.foreign import LayerSource
from layerstore.drivers.errors import InvalidImage, InvalidName
from layerstore.drivers.model.annotations import NAMING, Annotations
from layerstore.drivers.model.go_json import folded
from layerstore.drivers.model.ids import algorithm_of, blob_digest, hex_of
from layerstore.drivers.model.image_config import parse_json

INDEX = "index.json"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
LAYER = re.compile(
    r"application/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar"
    r"|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar)(?:[.+](?:gzip|zstd))?\Z"
)
T = TypeVar("T")


class PlatformOf(msgspec.Struct, rename={"os_name": "os"}):
    """The platform that a descriptor names."""

    architecture: str = ""
    os_name: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, rename="camel"):
    """What points to a blob, and what it promises of that."""

    digest: str
    size: int
    media_type: str = ""
    platform: PlatformOf | None = None
    annotations: Annotations | None = None
    artifact_type: str | None = None
    urls: list[str] | None = None
    data: str | None = None
    """The content itself, in base64."""

    @property
    def source(self) -> LayerSource:
        """What is kept of a layer's descriptor."""
        urls = tuple(self.urls) if self.urls else None
        return LayerSource(self.media_type, self.size, self.digest, urls)

    @property
    def is_attestation(self) -> bool:
        """Whether it describes another image's provenance, which BuildKit lists beside images."""
        platform = self.platform
        return platform is not None and platform.os_name == platform.architecture == "unknown"

    @property
    def called(self) -> list[str]:
        """What its annotations call the image, the fuller name first."""
        return list(self.naming.values())

    @property
    def naming(self) -> Annotations:
        """The annotations that name it."""
        annotations = self.annotations or {}
        return {key: annotations[key] for key in NAMING if annotations.get(key)}


class Index(msgspec.Struct, rename="camel"):
    """`index.json`, or an index that one lists."""

    manifests: list[Descriptor]
    media_type: str | None = None


class Manifest(msgspec.Struct, rename="camel"):
    """An image's configuration and layers, or an artifact's."""

    config: Descriptor
    layers: list[Descriptor]
    media_type: str | None = None
    artifact_type: str | None = None


class Kind(msgspec.Struct, rename="camel"):
    """What tells an index from a manifest where no descriptor does."""

    media_type: str | None = None
    manifests: list[Any] | None = None


def decode(content: bytes, kind: type[T], what: str) -> T:
    """Decode a document; InvalidImage says what is wrong with `what`."""
    document: Any = parse_json(content, what)
    try:
        return msgspec.convert(folded(document, kind), kind)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, str(error)) from error


def data_of(text: str, what: str) -> bytes:
    """Decode what a descriptor holds itself; InvalidImage says what is wrong with `what`."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # of binascii too, and where it isn't ASCII
        raise InvalidImage(what, str(error)) from error


def blob_of(descriptor: Descriptor, label: str) -> str:
    """Return the name of the blob that a descriptor points to; `label` names the archive.

    Raises InvalidImage.
    """
    try:
        digest = blob_digest(descriptor.digest)
    except InvalidName as error:
        reason = f"{descriptor.digest[:100]!r} is no digest: {error.grammar}"
        raise InvalidImage(label, reason) from error
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"
