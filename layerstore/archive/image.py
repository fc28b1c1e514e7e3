"""What every kind of archive comes to: images with a configuration, layers and names.

Owns the checks that all kinds share. Reading manifests is `docker`'s and `oci`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.foreign import LayerSource
from layerstore.drivers.errors import IntegrityError, InvalidImage, InvalidName
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.docker_config import check_for_docker
from layerstore.drivers.model.ids import digest_like, hex_of
from layerstore.drivers.model.image_config import MAX_CONFIG, ImageFacts, ImageID, parse_config
from layerstore.drivers.model.reference import is_bare_word, parse_tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedLayer:
    """One layer's blob; `digest` is what the archive promises of it, compressed as it is."""

    blob: str
    digest: str | None
    size: int
    descriptor: str | None = None
    """JSON to be kept with a layer that isn't passed on."""


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
    parent: ImageID | None = None
    """The image of the archive that it is made from, where that is told."""
    is_step: bool = False
    """Nobody asked for it: it is there for images that are made from it."""

    @property
    def short_id(self) -> str:
        """The 12 hex digits that it is told by."""
        return hex_of(self.facts.image_id)[:12]


@dataclass(slots=True)
class Found:
    """What can be taken of an archive, and what is to be said of the rest."""

    images: list[ArchivedImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """A line for each image that was left out, or comes otherwise than one might think."""
    refusals: list[InvalidImage] = field(default_factory=list)

    def leave_out(self, refusal: InvalidImage) -> None:
        """Take note of an image that can't be taken."""
        self.refusals.append(refusal)
        self.notes.append(f"left out: {refusal}")

    def take(self, image: ArchivedImage) -> None:
        """Add an image, with what is to be said of its names."""
        self.images.append(image)
        for name, reason in image.refused:
            what = f"image {image.short_id} doesn't get the name {name[:200]!r}"
            self.notes.append(f"{what}: {reason}")

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
        """Return itself; raises the first refusal where there is no image at all."""
        if self.images:
            return self
        if len(self.refusals) == 1:
            raise self.refusals[0]
        if self.refusals:
            reason = f"none of {len(self.refusals)} images can be taken, the first because "
            raise InvalidImage(label, reason + self.refusals[0].reason) from self.refusals[0]
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
) -> ArchivedLayer:
    """Find a layer's blob and check its size against the promised one, where there is one.

    `source` is that of a layer that isn't passed on.
    """
    actual = archive.size(blob)
    if actual is None:
        urls = (source.urls if source is not None else None) or ()
        kept = f", which is kept at {', '.join(urls)[:500]}" if urls else ""
        raise InvalidImage(archive.label, f"layer {blob} is missing{kept}")
    if size is not None and actual != size:
        what = f"the size in bytes of layer {blob} in {archive.label}"
        raise IntegrityError(what, str(size), str(actual))
    descriptor = source.encoded(archive.label) if source is not None else None
    return ArchivedLayer(blob=blob, digest=digest, size=actual, descriptor=descriptor)


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
