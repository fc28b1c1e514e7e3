"""Reading an OCI image layout: `index.json`, nested indexes, manifests.

Owns which of the listed images are taken (one for each name, for one platform) and what each
descriptor promises. Sources: the OCI image specification's "Image Layout", "Image Index", "Image
Manifest" and "Annotations".
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.image import ArchivedImage, layer_of, make_image, read_verified
from layerstore.drivers.errors import InvalidImage, LimitExceeded
from layerstore.drivers.model.image_config import MAX_CONFIG, MAX_LAYERS, parse_json
from layerstore.drivers.model.platform import Platform, host_platform
from layerstore.drivers.model.reference import is_bare_word

INDEX = "index.json"
_MAX_DEPTH = 8
_MAX_DESCRIPTORS = 1000
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYER = re.compile(
    r"application/vnd\.(?:oci\.image\.layer\.v1\.tar|docker\.image\.rootfs\.diff\.tar)"
    r"(?:[.+](?:gzip|zstd))?\Z"
)
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class _Platform(msgspec.Struct, rename={"os_name": "os"}):
    architecture: str = ""
    os_name: str = ""
    variant: str = ""


class _Descriptor(msgspec.Struct, rename="camel"):
    media_type: str
    digest: str
    size: int
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct, rename="camel"):
    manifests: list[_Descriptor]
    media_type: str | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    config: _Descriptor
    layers: list[_Descriptor]
    media_type: str | None = None


T = TypeVar("T")


def read_oci_layout(
    archive: Archive, platform: Platform | None = None, name: str | None = None
) -> list[ArchivedImage]:
    """Read the images of a layout: those for `platform`, by default this machine's.

    A name is taken from the annotations of index.json's descriptors. With `name`, a repository, an
    annotation that is a mere tag becomes that repository's tag.

    Raises InvalidImage, IntegrityError where a blob isn't what a descriptor promises,
    LimitExceeded.
    """
    content = read_blob(archive, INDEX, MAX_CONFIG)
    index = _decode(content, _Index, f"{INDEX} of {archive.label}")
    reader = _Reader(archive, platform or host_platform(), lone_fits=platform is None)
    images = []
    for descriptor, names in _groups(index.manifests, reader, name):
        images.append(reader.read(descriptor, names))
    if not images:
        raise InvalidImage(archive.label, "its index lists no image")
    return images


def _groups(
    listed: list[_Descriptor], reader: _Reader, base: str | None
) -> list[tuple[_Descriptor, list[str]]]:
    """Merge what is listed once for each name, then choose among what differs by platform only."""
    names: dict[str, list[str]] = {}
    first: dict[str, _Descriptor] = {}
    for descriptor in listed:
        if _is_attestation(descriptor):
            continue
        first.setdefault(descriptor.digest, descriptor)
        names.setdefault(descriptor.digest, []).extend(_names(descriptor, base))
    groups: dict[object, list[_Descriptor]] = {}
    for digest, descriptor in first.items():
        alone = not names[digest] and descriptor.platform is None
        groups.setdefault(digest if alone else tuple(names[digest]), []).append(descriptor)
    chosen = [reader.choose(group, INDEX) for group in groups.values()]
    return [(descriptor, names[descriptor.digest]) for descriptor in chosen]


def _names(descriptor: _Descriptor, base: str | None) -> list[str]:
    annotations = descriptor.annotations or {}
    for key in _NAME_ANNOTATIONS:
        found = annotations.get(key)
        if found:
            return [f"{base}:{found}" if base is not None and is_bare_word(found) else found]
    return []


class _Reader:
    """Follows descriptors down to one platform's images."""

    def __init__(self, archive: Archive, platform: Platform, *, lone_fits: bool) -> None:
        self._archive = archive
        self._platform = platform
        self._lone_fits = lone_fits
        self._descriptors = 0

    def choose(self, offered: list[_Descriptor], what: str) -> _Descriptor:
        """Return the best descriptor for the platform; one that says nothing of it fits any.

        A lone image is taken whatever its platform, unless one was asked for.
        """
        self._descriptors += len(offered)
        if self._descriptors > _MAX_DESCRIPTORS:
            raise LimitExceeded(f"the descriptors of {self._archive.label}", _MAX_DESCRIPTORS)
        images = [d for d in offered if not _is_attestation(d)]
        ranked = [(rank, d) for d in images if (rank := self._rank(d)) is not None]
        if ranked:
            return min(ranked, key=lambda pair: pair[0])[1]
        if len(images) == 1 and self._lone_fits:
            return images[0]
        there = ", ".join(str(_platform_of(d)) for d in images) or "none"
        reason = f"{what} has no image for {self._platform} (it has: {there})"
        raise InvalidImage(self._archive.label, reason)

    def _rank(self, descriptor: _Descriptor) -> int | None:
        offered = _platform_of(descriptor)
        return self._platform.rank(offered) if offered is not None else 0

    def read(self, descriptor: _Descriptor, names: list[str]) -> ArchivedImage:
        """Follow a descriptor to a manifest and read its image."""
        for _ in range(_MAX_DEPTH):
            blob = self._blob(descriptor)
            if descriptor.media_type in _MANIFESTS:
                return self._image(blob, self._document(descriptor, blob, _Manifest), names)
            if descriptor.media_type not in _INDEXES:
                reason = (
                    f"{blob} has the media type {descriptor.media_type[:100]!r}, not an image's"
                )
                raise InvalidImage(self._archive.label, reason)
            index = self._document(descriptor, blob, _Index)
            descriptor = self.choose(index.manifests, blob)
        raise LimitExceeded(f"the depth of indexes in {self._archive.label}", _MAX_DEPTH)

    def _document(self, descriptor: _Descriptor, blob: str, kind: type[T]) -> T:
        content = read_verified(self._archive, blob, descriptor.digest, descriptor.size)
        document = _decode(content, kind, f"{blob} of {self._archive.label}")
        said = getattr(document, "media_type", None)
        if said is not None and said != descriptor.media_type:
            reason = f"{blob} says it is {said[:100]!r}, its descriptor {descriptor.media_type!r}"
            raise InvalidImage(self._archive.label, reason)
        return document

    def _image(self, blob: str, manifest: _Manifest, names: list[str]) -> ArchivedImage:
        config = manifest.config
        if config.media_type not in _CONFIGS:
            reason = f"{blob} is no container image: its config is {config.media_type[:100]!r}"
            raise InvalidImage(self._archive.label, reason)
        if len(manifest.layers) > MAX_LAYERS:
            raise LimitExceeded(f"the number of layers of {blob}", MAX_LAYERS)
        name = self._blob(config)
        content = read_verified(self._archive, name, config.digest, config.size)
        layers = []
        for layer in manifest.layers:
            found = self._blob(layer)
            if not _LAYER.match(layer.media_type):
                reason = (
                    f"layer {found} has the media type {layer.media_type[:100]!r}, no plain layer"
                )
                raise InvalidImage(self._archive.label, reason)
            layers.append(layer_of(self._archive, found, layer.digest, layer.size))
        return make_image(self._archive, content, layers, names, name)

    def _blob(self, descriptor: _Descriptor) -> str:
        match = _DIGEST.match(descriptor.digest)
        if match is None:
            reason = f"{descriptor.digest[:100]!r} is not a sha256 digest"
            raise InvalidImage(self._archive.label, reason)
        return f"blobs/sha256/{match[1]}"


def _is_attestation(descriptor: _Descriptor) -> bool:
    """Whether it describes another image's provenance, which BuildKit lists beside the images."""
    platform = descriptor.platform
    return platform is not None and platform.os_name == platform.architecture == "unknown"


def _platform_of(descriptor: _Descriptor) -> Platform | None:
    platform = descriptor.platform
    if platform is None:
        return None
    return Platform(platform.os_name, platform.architecture, platform.variant)


def _decode(content: bytes, kind: type[T], what: str) -> T:
    document: Any = parse_json(content, what)
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, str(error)) from error
