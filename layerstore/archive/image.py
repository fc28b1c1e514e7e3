"""What every kind of archive comes to: images with a configuration, layers and names.

Owns the checks that all kinds share. Reading manifests is `docker`'s and `oci`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.foreign import LayerSource
from layerstore.archive.wanted import Wanted
from layerstore.asking.source import Region, in_memory
from layerstore.drivers.errors import (
    IntegrityError,
    InvalidImage,
    InvalidName,
    LayerStoreError,
    LimitExceeded,
)
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.docker_config import check_for_docker
from layerstore.drivers.model.ids import digest_like, hex_of
from layerstore.drivers.model.image_config import MAX_CONFIG, ImageFacts, ImageID, parse_config
from layerstore.drivers.model.platform import Platform, host_platform
from layerstore.drivers.model.reference import is_bare_word, parse_tag, repository_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedLayer:
    """One layer's blob; `digest` is what the archive promises of it, compressed as it is."""

    blob: str
    digest: str | None
    size: int
    descriptor: str | None = None
    """JSON to be kept with a layer that isn't passed on."""
    content: bytes | None = None
    """The blob, where the archive has it nowhere but in a descriptor."""

    def opened(self, archive: Archive) -> AbstractContextManager[Region]:
        """Give the blob as a window of a file, for a `with` block. Raises InvalidImage."""
        return archive.open(self.blob) if self.content is None else in_memory(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """One image of an archive, its layers in the order of the configuration's diff IDs."""

    config: bytes
    facts: ImageFacts
    layers: tuple[ArchivedLayer, ...]
    names: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()
    """What the archive calls it that is no name here, and why."""
    annotations: tuple[Annotations, ...] = ()
    """Those of a layout that call it so."""
    digest: str | None = None
    """That of the manifest, or of the index, that a layout lists it by."""
    parent: ImageID | None = None
    """The image of the archive that it is made from, where that is told."""
    is_step: bool = False
    """Nobody asked for it: it is there for images that are made from it."""

    @property
    def all_names(self) -> tuple[str, ...]:
        """Its names, and each repository of them with the digest that a layout lists it by."""
        repositories = map(repository_of, self.names) if self.digest is not None else ()
        return (*self.names, *dict.fromkeys(f"{name}@{self.digest}" for name in repositories))

    @property
    def short_id(self) -> str:
        """The 12 hex digits that it is told by."""
        return hex_of(self.facts.image_id)[:12]

    @property
    def platform(self) -> Platform | None:
        """The one that its configuration names; None where it names none."""
        facts = self.facts
        if not facts.architecture:
            return None
        return Platform(facts.os or "linux", facts.architecture, facts.variant)

    def misses(self, wanted: Wanted) -> Platform | None:
        """Return the wanted platform, by default this machine's, if it is for another one."""
        platform = wanted.platform or host_platform()
        if self.platform is None or platform.rank(self.platform) is not None:
            return None
        return platform


UNTAKEN = (InvalidImage, IntegrityError, LimitExceeded)
"""What is raised of an image that can't be taken, and keeps no other out."""


@dataclass(slots=True)
class Found:
    """What can be taken of an archive, and what is to be said of the rest."""

    images: list[ArchivedImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """A line for each image that was left out, or comes otherwise than one might think."""
    refusals: list[LayerStoreError] = field(default_factory=list)

    def leave_out(self, refusal: LayerStoreError) -> None:
        """Take note of an image that can't be taken."""
        self.refusals.append(refusal)
        self.notes.append(f"left out: {refusal}")

    def take(self, image: ArchivedImage) -> None:
        """Add an image, with what is to be said of its names."""
        self.images.append(image)
        for name, reason in image.refused:
            what = f"image {image.short_id} doesn't get the name {name[:200]!r}"
            self.notes.append(f"{what}: {reason}")

    def take_for(self, wanted: Wanted, image: ArchivedImage, label: str) -> None:
        """Add an image of an archive that has no others to choose from, whatever it is for.

        That it isn't for this machine is said. Raises InvalidImage where a platform was asked for.
        """
        missed = image.misses(wanted) if not wanted.every_platform else None
        if missed is not None:
            what = f"image {image.short_id} is for {image.platform}, not for {missed}"
            if wanted.platform is not None:
                raise InvalidImage(label, f"{what} ({wanted.help})")
            self.notes.append(what)
        self.take(image)

    def settle_names(self, wanted: Wanted) -> None:
        """Have a name of several images be that of one for the platform, where there is one."""
        best = {name for one in self.images if one.misses(wanted) is None for name in one.names}
        for number, image in enumerate(self.images):
            for name in sorted(best.intersection(image.names)):
                if (missed := image.misses(wanted)) is not None:
                    what = f"image {image.short_id} ({image.platform}) is loaded without a name"
                    self.notes.append(f"{what}: {name[:200]!r} is for {missed}, see --platform")
                    names = tuple(one for one in image.names if one not in best)
                    self.images[number] = replace(image, names=names)

    def drop_spare_steps(self) -> None:
        """Drop images that nobody asked for where those that are made from them are left out."""
        needed: set[str | None] = set()
        kept = []
        for image in reversed(self.images):  # what one is made from comes before it
            if not image.is_step or image.facts.image_id in needed:
                kept.append(image)
                needed.add(image.parent)
        self.images = kept[::-1]

    def all_of_it(self, label: str) -> Found:
        """Return itself; raises the first refusal where there is no image at all.

        One that isn't about what the archive says, but about what it is, comes before the others.
        """
        if self.images:
            return self
        invalid = [one for one in self.refusals if isinstance(one, InvalidImage)]
        for grave in self.refusals:
            if len(self.refusals) == 1 or grave not in invalid:
                raise grave
        if invalid:
            why = f"the first because {invalid[0].reason}"
            reason = f"none of {len(invalid)} images can be taken, {why}"
            raise InvalidImage(label, reason) from invalid[0]
        raise InvalidImage(label, "it lists no image")


def make_image(
    archive: Archive, config: bytes, layers: list[ArchivedLayer], names: Sequence[str], what: str
) -> ArchivedImage:
    """Check that configuration and layers fit together; `what` names the configuration."""
    facts = parse_config(config, f"{what} in {archive.label}")
    check_for_docker(config, f"{what} in {archive.label}")
    if len(layers) != len(facts.diff_ids):
        raise InvalidImage(
            archive.label,
            f"{len(layers)} layers in the manifest, {len(facts.diff_ids)} diff IDs in {what}",
        )
    good: dict[str, None] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            good[parse_tag(name)] = None
        except InvalidName as error:
            refused[name] = _help(name) or error.grammar
    return ArchivedImage(
        config=config,
        facts=facts,
        layers=tuple(layers),
        names=tuple(good),
        refused=tuple(refused.items()),
    )


def nameless(naming: Iterable[Annotations]) -> tuple[Annotations, ...]:
    """Return those annotations that call an image what is no name here."""
    return tuple(one for one in naming if not _is_name(next(iter(one.values()))))


def _is_name(text: str) -> bool:
    try:
        parse_tag(text)
    except InvalidName:
        return False
    return True


def _help(name: str) -> str:
    """Return what helps where a name is a mere tag, or one that only a registry can give."""
    if "@" in name:
        return "it is a digest's, and says no tag"
    if is_bare_word(name):
        return f"it is a tag without a repository; --name REPOSITORY makes it REPOSITORY:{name}"
    return ""


def layer_of(
    archive: Archive,
    blob: str,
    digest: str | None,
    size: int | None,
    source: LayerSource | None = None,
    content: bytes | None = None,
) -> ArchivedLayer:
    """Find a layer's blob and check its size against the promised one, where there is one.

    `source` is that of a layer that isn't passed on; `content` the blob if it isn't in the archive.
    """
    actual = archive.size(blob) if content is None else len(content)
    if actual is None:
        urls = (source.urls if source is not None else None) or ()
        kept = f", which is kept at {', '.join(urls)[:500]}" if urls else ""
        raise InvalidImage(archive.label, f"layer {blob} is missing{kept}")
    if size is not None and actual != size:
        what = f"the size in bytes of layer {blob} in {archive.label}"
        raise IntegrityError(what, str(size), str(actual))
    descriptor = source.encoded(archive.label) if source is not None else None
    return ArchivedLayer(
        blob=blob, digest=digest, size=actual, descriptor=descriptor, content=content
    )


def read_verified(archive: Archive, blob: str, digest: str, size: int | None = None) -> bytes:
    """Read a manifest or configuration and check what is promised of it.

    Raises IntegrityError, InvalidImage, LimitExceeded.
    """
    return verified(archive, blob, read_blob(archive, blob, MAX_CONFIG), digest, size)


def verified(
    archive: Archive, blob: str, content: bytes, digest: str, size: int | None = None
) -> bytes:
    """Return content that is what is promised of it. Raises IntegrityError."""
    if size is not None and size != len(content):
        what = f"the size in bytes of {blob} in {archive.label}"
        raise IntegrityError(what, str(size), str(len(content)))
    actual = digest_like(digest, content)
    if actual != digest:
        raise IntegrityError(f"the digest of {blob} in {archive.label}", digest, actual)
    return content
