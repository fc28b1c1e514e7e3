"""Reading an OCI image layout: `index.json`, nested indexes, manifests.

Owns which of the listed images are taken (one for each name, for one platform) and what each
descriptor promises. Sources: the OCI image specification's "Image Layout", "Image Index", "Image
Manifest" and "Annotations".
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.image import (
    ArchivedImage,
    Found,
    layer_of,
    make_image,
    read_verified,
    verified,
)
from layerstore.drivers.errors import InvalidImage, InvalidName, LimitExceeded
from layerstore.drivers.model.go_json import folded
from layerstore.drivers.model.ids import algorithm_of, blob_digest, hex_of
from layerstore.drivers.model.image_config import MAX_CONFIG, MAX_LAYERS, ImageFacts, parse_json
from layerstore.drivers.model.platform import Platform, host_platform
from layerstore.drivers.model.reference import is_bare_word

INDEX = "index.json"
_MAX_DEPTH = 8
_MAX_DESCRIPTORS = 1000

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
    r"application/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar"
    r"|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar)(?:[.+](?:gzip|zstd))?\Z"
)
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class _Platform(msgspec.Struct, rename={"os_name": "os"}):
    architecture: str = ""
    os_name: str = ""
    variant: str = ""


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None
    urls: list[str] | None = None
    data: str | None = None
    """The content itself, in base64."""


class _Index(msgspec.Struct, rename="camel"):
    manifests: list[_Descriptor]
    media_type: str | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    config: _Descriptor
    layers: list[_Descriptor]
    media_type: str | None = None
    artifact_type: str | None = None


class _Kind(msgspec.Struct, rename="camel"):
    media_type: str | None = None
    manifests: list[Any] | None = None


T = TypeVar("T")


def read_oci_layout(
    archive: Archive, platform: Platform | None = None, name: str | None = None
) -> Found:
    """Read the images of a layout that can be taken: those for `platform`, by default this one.

    A name is taken from the annotations of index.json's descriptors. With `name`, a repository, an
    annotation that is a mere tag becomes that repository's tag.

    Raises InvalidImage where no image can be taken, IntegrityError where a blob isn't what a
    descriptor promises, LimitExceeded.
    """
    content = read_blob(archive, INDEX, MAX_CONFIG)
    index = _decode(content, _Index, f"{INDEX} of {archive.label}")
    reader = _Reader(archive, platform or host_platform(), lone_fits=platform is None)
    for group, names in _groups(index.manifests, name):
        try:
            reader.found.take(reader.read(reader.choose(group, INDEX), names))
        except InvalidImage as error:
            reader.found.leave_out(error)
    return reader.found.all_of_it(archive.label)


def _groups(
    listed: list[_Descriptor], base: str | None
) -> Iterator[tuple[list[_Descriptor], list[str]]]:
    """Merge what is listed once for each name, then put together what differs by platform only."""
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
    for group in groups.values():
        yield group, names[group[0].digest]


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
        self.found = Found()
        self._archive = archive
        self._platform = platform
        self._lone_fits = lone_fits
        self._descriptors = 0
        self._configs: dict[str, Platform | None] = {}

    def choose(self, offered: list[_Descriptor], what: str) -> _Descriptor:
        """Return the best descriptor for the platform; one that says nothing of it fits any.

        A lone image is taken whatever its platform, unless one was asked for.
        """
        self._descriptors += len(offered)
        if self._descriptors > _MAX_DESCRIPTORS:
            raise LimitExceeded(f"the descriptors of {self._archive.label}", _MAX_DESCRIPTORS)
        images = [d for d in offered if not _is_attestation(d) and not d.artifact_type]
        if not images and len(offered) == 1:
            return offered[0]  # which says itself what it is instead
        if len(images) == 1 and self._lone_fits:
            return images[0]
        ranked = [(rank, d) for d in images if (rank := self._rank(d)) is not None]
        if ranked:
            return min(ranked, key=lambda pair: pair[0])[1]
        there = ", ".join(str(self._platform_of(d)) for d in images) or "none"
        reason = f"{what} has no image for {self._platform} (it has: {there}, see --platform)"
        raise InvalidImage(self._archive.label, reason)

    def _rank(self, descriptor: _Descriptor) -> int | None:
        offered = self._platform_of(descriptor)
        return self._platform.rank(offered) if offered is not None else 0

    def _platform_of(self, descriptor: _Descriptor) -> Platform | None:
        """Return the platform that a descriptor names, else that of its image's configuration."""
        named = descriptor.platform
        if named is not None:
            return Platform(named.os_name, named.architecture, named.variant)
        if descriptor.digest not in self._configs:
            try:
                facts = self._manifest(descriptor, self._blob(descriptor)).facts
            except InvalidImage:  # an index, or no image: it says so when it is read
                self._configs[descriptor.digest] = None
            else:
                self._configs[descriptor.digest] = _platform_in(facts)
        return self._configs[descriptor.digest]

    def read(self, descriptor: _Descriptor, names: list[str]) -> ArchivedImage:
        """Follow a descriptor to a manifest and read its image."""
        for _ in range(_MAX_DEPTH):
            blob = self._blob(descriptor)
            kind = descriptor.media_type or self._media_type(descriptor, blob)
            if kind in _MANIFESTS:
                return self._told(self._manifest(descriptor, blob, names))
            if kind not in _INDEXES:
                reason = f"{blob} has the media type {kind[:100]!r}, not an image's"
                raise InvalidImage(self._archive.label, reason)
            index = self._document(descriptor, blob, _Index)
            descriptor = self.choose(index.manifests, blob)
        raise LimitExceeded(f"the depth of indexes in {self._archive.label}", _MAX_DEPTH)

    def _told(self, image: ArchivedImage) -> ArchivedImage:
        """Say it where an image is for another platform than the one that is wanted."""
        platform = _platform_in(image.facts)
        if platform is not None and self._platform.rank(platform) is None:
            what = f"image {image.short_id}"
            if not self._lone_fits:
                reason = f"{what} is for {platform}, not for {self._platform}"
                raise InvalidImage(self._archive.label, reason)
            self.found.notes.append(f"{what} is for {platform}: there is none for {self._platform}")
        return image

    def _content(self, descriptor: _Descriptor, blob: str) -> bytes:
        """Return a small blob, which its descriptor may hold itself. Raises as read_verified."""
        if descriptor.data is None or self._archive.size(blob) is not None:
            return read_verified(self._archive, blob, descriptor.digest, descriptor.size)
        try:
            content = binascii.a2b_base64(descriptor.data, strict_mode=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidImage(self._archive.label, f"the data of {blob}: {error}") from error
        return verified(self._archive, blob, content, descriptor.digest, descriptor.size)

    def _media_type(self, descriptor: _Descriptor, blob: str) -> str:
        """Return what a document without a media type in its descriptor says, or looks like."""
        what = f"{blob} of {self._archive.label}"
        document = _decode(self._content(descriptor, blob), _Kind, what)
        if document.media_type:
            return document.media_type
        return _INDEXES[0] if document.manifests is not None else _MANIFESTS[0]

    def _document(self, descriptor: _Descriptor, blob: str, kind: type[T]) -> T:
        content = self._content(descriptor, blob)
        document = _decode(content, kind, f"{blob} of {self._archive.label}")
        said = getattr(document, "media_type", None)
        if said and descriptor.media_type and said != descriptor.media_type:
            reason = f"{blob} says it is {said[:100]!r}, its descriptor {descriptor.media_type!r}"
            raise InvalidImage(self._archive.label, reason)
        return document

    def _manifest(
        self, descriptor: _Descriptor, blob: str, names: Sequence[str] = ()
    ) -> ArchivedImage:
        manifest = self._document(descriptor, blob, _Manifest)
        config = manifest.config
        artifact = manifest.artifact_type or descriptor.artifact_type
        if artifact or (config.media_type and config.media_type not in _CONFIGS):
            what = (
                f"an artifact of the type {artifact[:100]!r}" if artifact else "no container image"
            )
            reason = f"{blob} is {what}: its config is {config.media_type[:100]!r}"
            raise InvalidImage(self._archive.label, reason)
        if len(manifest.layers) > MAX_LAYERS:
            raise LimitExceeded(f"the number of layers of {blob}", MAX_LAYERS)
        name = self._blob(config)
        content = self._content(config, name)
        layers = []
        for layer in manifest.layers:
            found = self._blob(layer)
            if layer.media_type and not _LAYER.match(layer.media_type):
                reason = (
                    f"layer {found} has the media type {layer.media_type[:100]!r}, no plain layer"
                )
                raise InvalidImage(self._archive.label, reason)
            layers.append(
                layer_of(self._archive, found, layer.digest, layer.size, layer.urls or ())
            )
        return make_image(self._archive, content, layers, names, name)

    def _blob(self, descriptor: _Descriptor) -> str:
        try:
            digest = blob_digest(descriptor.digest)
        except InvalidName as error:
            reason = f"{descriptor.digest[:100]!r} is no digest: {error.grammar}"
            raise InvalidImage(self._archive.label, reason) from error
        return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


def _is_attestation(descriptor: _Descriptor) -> bool:
    """Whether it describes another image's provenance, which BuildKit lists beside the images."""
    platform = descriptor.platform
    return platform is not None and platform.os_name == platform.architecture == "unknown"


def _platform_in(facts: ImageFacts) -> Platform | None:
    """Return the platform that a configuration names; None where it names none."""
    if not facts.architecture:
        return None
    return Platform(facts.os or "linux", facts.architecture, facts.variant)


def _decode(content: bytes, kind: type[T], what: str) -> T:
    document: Any = parse_json(content, what)
    try:
        return msgspec.convert(folded(document, kind), kind)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, str(error)) from error
