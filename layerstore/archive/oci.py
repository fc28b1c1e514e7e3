"""Reading an OCI image layout: `index.json`, nested indexes, manifests.

Owns which of the listed images are taken (one for each name, for one platform or for all) and what
each descriptor promises. Sources: the OCI image specification's "Image Layout" and "Image Index".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.image import (
    UNTAKEN,
    ArchivedImage,
    Found,
    layer_of,
    make_image,
    read_verified,
    verified,
)
from layerstore.archive.layout import (
    CONFIGS,
    INDEX,
    INDEXES,
    LAYER,
    MANIFESTS,
    Descriptor,
    Index,
    Kind,
    Manifest,
    blob_of,
    data_of,
    decode,
)
from layerstore.archive.wanted import Wanted
from layerstore.drivers.errors import InvalidImage, LimitExceeded
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.image_config import MAX_CONFIG, MAX_LAYERS
from layerstore.drivers.model.platform import Platform, host_platform
from layerstore.drivers.model.reference import is_bare_word

_MAX_DEPTH = 8
_MAX_DESCRIPTORS = 1000
_MAX_DATA = 64 << 20
"""Bytes of all layers that are in descriptors: such are held in memory."""

T = TypeVar("T")


def read_oci_layout(archive: Archive, wanted: Wanted) -> Found:
    """Read the images of a layout that are wanted and can be taken.

    A name is taken from the annotations of index.json's descriptors; where one is a mere tag, it
    becomes that of the wanted repository.

    Raises InvalidImage where no image can be taken, and for a lone one IntegrityError where a blob
    isn't what a descriptor promises; LimitExceeded.
    """
    content = read_blob(archive, INDEX, MAX_CONFIG)
    listed = decode(content, Index, f"{INDEX} of {archive.label}").manifests
    picked = wanted.pick([descriptor.called for descriptor in listed], archive.label)
    reader = _Reader(archive, wanted)
    for group, names in _groups([listed[number] for number in picked], wanted.repository):
        reader.take(group, names)
    return reader.found.all_of_it(archive.label)


Names = dict[str, Annotations]
"""Names of an image, each with the annotations that it is from."""


def _groups(listed: list[Descriptor], base: str | None) -> Iterator[tuple[list[Descriptor], Names]]:
    """Merge what is listed once for each name, then put together what differs by platform only."""
    names: dict[str, Names] = {}
    first: dict[str, Descriptor] = {}
    for descriptor in listed:
        if descriptor.is_attestation:
            continue
        first.setdefault(descriptor.digest, descriptor)
        names.setdefault(descriptor.digest, {}).update(_names(descriptor, base))
    groups: dict[object, list[Descriptor]] = {}
    for digest, descriptor in first.items():
        alone = not names[digest] and descriptor.platform is None
        groups.setdefault(digest if alone else tuple(names[digest]), []).append(descriptor)
    for group in groups.values():
        yield group, names[group[0].digest]


def _names(descriptor: Descriptor, base: str | None) -> Names:
    for called in descriptor.called[:1]:
        name = f"{base}:{called}" if base is not None and is_bare_word(called) else called
        return {name: descriptor.naming}
    return {}


class _Reader:
    """Follows descriptors down to one platform's images, or to all."""

    def __init__(self, archive: Archive, wanted: Wanted) -> None:
        self.found = Found()
        self._archive = archive
        self._wanted = wanted
        self._platform = wanted.platform or host_platform()
        self._lone_fits = wanted.platform is None
        self._every = wanted.every_platform
        self._help = wanted.help
        self._descriptors = 0
        self._configs: dict[str, Platform | None] = {}
        self._data: dict[str, bytes] = {}
        """Layers that only descriptors hold."""
        self._data_left = _MAX_DATA

    def take(self, group: list[Descriptor], names: Names) -> None:
        """Read what differs by platform only: the best of it, or all."""
        try:
            if self._every:
                self._take_all(group, names)
            else:
                chosen = self._choose(group, INDEX)
                self.found.take(replace(self._read(chosen, names), digest=chosen.digest))
        except UNTAKEN as error:
            if self._descriptors > _MAX_DESCRIPTORS:  # which are the whole archive's
                raise
            self.found.leave_out(error)

    # Every platform's

    def _take_all(self, group: list[Descriptor], names: Names) -> None:
        """Read every image; the one that would be taken alone gets the names."""
        images = {d.digest: d for d in self._leaves(group)}
        best: Descriptor | None = None
        if names and images:
            try:
                best = self._best(list(images.values()), INDEX)
            except InvalidImage:
                best = None
        for descriptor in images.values():
            try:
                image = self._image(descriptor, self._blob(descriptor), names)
                image = replace(image, digest=descriptor.digest)
            except UNTAKEN as error:
                self.found.leave_out(error)
                continue
            if names and descriptor is not best:
                image = self._nameless(image, names)
            self.found.take(image)

    def _nameless(self, image: ArchivedImage, names: Names) -> ArchivedImage:
        what = f"image {image.short_id} ({image.platform or 'of no platform'})"
        reason = f"is loaded without a name: {next(iter(names))[:200]!r} is for {self._platform}"
        self.found.notes.append(f"{what} {reason}, see --platform")
        return replace(image, names=(), refused=(), annotations=())

    def _leaves(self, offered: list[Descriptor], depth: int = 0) -> Iterator[Descriptor]:
        """Give what is no index, but for what describes other images."""
        self._count(offered)
        if depth > _MAX_DEPTH:
            raise LimitExceeded(f"the depth of indexes in {self._archive.label}", _MAX_DEPTH)
        for descriptor in offered:
            if depth and (descriptor.is_attestation or descriptor.artifact_type):
                continue
            try:
                blob = self._blob(descriptor)
                if self._kind(descriptor, blob) not in INDEXES:
                    yield descriptor
                    continue
                listed = self._document(descriptor, blob, Index).manifests
            except UNTAKEN as error:
                self.found.leave_out(error)
                continue
            yield from self._leaves(listed, depth + 1)

    # One platform's

    def _choose(self, offered: list[Descriptor], what: str) -> Descriptor:
        """Return the best descriptor that is an image's."""
        self._count(offered)
        images = [d for d in offered if not d.is_attestation and not d.artifact_type]
        if not images and len(offered) == 1:
            return offered[0]  # which says itself what it is instead
        return self._best(images, what)

    def _best(self, images: list[Descriptor], what: str) -> Descriptor:
        """Return the best image for the platform; one that says nothing of it fits any.

        A lone image is taken whatever its platform, unless one was asked for.
        """
        if len(images) == 1 and self._lone_fits:
            return images[0]
        ranked = [(rank, d) for d in images if (rank := self._rank(d)) is not None]
        if not ranked:
            there = ", ".join(str(self._platform_of(d)) for d in images) or "none"
            reason = f"{what} has no image for {self._platform} (it has: {there}; {self._help})"
            raise InvalidImage(self._archive.label, reason)
        best = min(rank for rank, _ in ranked)
        alike = [d for rank, d in ranked if rank == best]
        if len(alike) > 1 and not self._every:
            which = f"of {len(alike)} images in {what} for {self._platform} the first one is taken"
            self.found.notes.append(f"{which} (see --all, and PATH:@N for the Nth)")
        return alike[0]

    def _count(self, offered: list[Descriptor]) -> None:
        self._descriptors += len(offered)
        if self._descriptors > _MAX_DESCRIPTORS:
            raise LimitExceeded(f"the descriptors of {self._archive.label}", _MAX_DESCRIPTORS)

    def _rank(self, descriptor: Descriptor) -> int | None:
        offered = self._platform_of(descriptor)
        return self._platform.rank(offered) if offered is not None else 0

    def _platform_of(self, descriptor: Descriptor) -> Platform | None:
        """Return the platform that a descriptor names, else that of its image's configuration."""
        named = descriptor.platform
        if named is not None:
            return Platform(named.os_name, named.architecture, named.variant)
        if descriptor.digest not in self._configs:
            try:
                image = self._manifest(descriptor, self._blob(descriptor))
            except InvalidImage:  # an index, or no image: it says so when it is read
                self._configs[descriptor.digest] = None
            else:
                self._configs[descriptor.digest] = image.platform
        return self._configs[descriptor.digest]

    def _read(self, descriptor: Descriptor, names: Names) -> ArchivedImage:
        """Follow a descriptor to a manifest and read its image."""
        for _ in range(_MAX_DEPTH):
            blob = self._blob(descriptor)
            if self._kind(descriptor, blob) not in INDEXES:
                return self._told(self._image(descriptor, blob, names))
            index = self._document(descriptor, blob, Index)
            descriptor = self._choose(index.manifests, blob)
        raise LimitExceeded(f"the depth of indexes in {self._archive.label}", _MAX_DEPTH)

    def _kind(self, descriptor: Descriptor, blob: str) -> str:
        return descriptor.media_type or self._media_type(descriptor, blob)

    def _image(self, descriptor: Descriptor, blob: str, names: Names) -> ArchivedImage:
        kind = self._kind(descriptor, blob)
        if kind not in MANIFESTS:
            reason = f"{blob} has the media type {kind[:100]!r}, not an image's"
            raise InvalidImage(self._archive.label, reason)
        image = self._manifest(descriptor, blob, list(names))
        kept = tuple(names[name] for name, _ in image.refused)
        return replace(image, annotations=kept)

    def _told(self, image: ArchivedImage) -> ArchivedImage:
        """Say it where an image is for another platform than the one that is wanted."""
        missed = image.misses(self._wanted)
        if missed is not None:
            what = f"image {image.short_id} is for {image.platform}"
            if not self._lone_fits:
                raise InvalidImage(self._archive.label, f"{what}, not for {missed} ({self._help})")
            self.found.notes.append(f"{what}: there is none for {missed}")
        return image

    def _content(self, descriptor: Descriptor, blob: str) -> bytes:
        """Return a small blob, which its descriptor may hold itself. Raises as read_verified."""
        content = self._held(descriptor, blob)
        if content is not None:
            return content
        return read_verified(self._archive, blob, descriptor.digest, descriptor.size)

    def _held(self, descriptor: Descriptor, blob: str) -> bytes | None:
        """Return a blob that only its descriptor holds, None for others. Raises as verified."""
        if descriptor.data is None or self._archive.size(blob) is not None:
            return None
        content = data_of(descriptor.data, f"the data of {blob} in {self._archive.label}")
        return verified(self._archive, blob, content, descriptor.digest, descriptor.size)

    def _held_layer(self, descriptor: Descriptor, blob: str) -> bytes | None:
        """Return as `_held` does what stays in memory, once for each blob; LimitExceeded."""
        content = self._held(descriptor, blob)
        if content is None:
            return None
        if blob not in self._data:
            if len(content) > self._data_left:
                what = f"the size in bytes of layers in descriptors of {self._archive.label}"
                raise LimitExceeded(what, _MAX_DATA)
            self._data_left -= len(content)
        return self._data.setdefault(blob, content)

    def _media_type(self, descriptor: Descriptor, blob: str) -> str:
        """Return what a document without a media type in its descriptor says, or looks like."""
        what = f"{blob} of {self._archive.label}"
        document = decode(self._content(descriptor, blob), Kind, what)
        if document.media_type:
            return document.media_type
        return INDEXES[0] if document.manifests is not None else MANIFESTS[0]

    def _document(self, descriptor: Descriptor, blob: str, kind: type[T]) -> T:
        content = self._content(descriptor, blob)
        document = decode(content, kind, f"{blob} of {self._archive.label}")
        said = getattr(document, "media_type", None)
        if said and descriptor.media_type and said != descriptor.media_type:
            reason = f"{blob} says it is {said[:100]!r}, its descriptor {descriptor.media_type!r}"
            raise InvalidImage(self._archive.label, reason)
        return document

    def _manifest(
        self, descriptor: Descriptor, blob: str, names: Sequence[str] = ()
    ) -> ArchivedImage:
        manifest = self._document(descriptor, blob, Manifest)
        config = manifest.config
        artifact = manifest.artifact_type or descriptor.artifact_type
        if artifact or (config.media_type and config.media_type not in CONFIGS):
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
            if layer.media_type and not LAYER.match(layer.media_type):
                reason = (
                    f"layer {found} has the media type {layer.media_type[:100]!r}, no plain layer"
                )
                raise InvalidImage(self._archive.label, reason)
            source = layer.source if layer.source.is_worth_keeping else None
            held = self._held_layer(layer, found)
            layers.append(layer_of(self._archive, found, layer.digest, layer.size, source, held))
        return make_image(self._archive, content, layers, names, name)

    def _blob(self, descriptor: Descriptor) -> str:
        return blob_of(descriptor, self._archive.label)
