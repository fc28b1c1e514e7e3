"""What every kind of archive comes to: images with a configuration, layers and names.

Owns the checks that all kinds share. Reading manifests is the business of `docker`
and `oci`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from layerstore.archive.archive import Archive, read_blob
from layerstore.drivers.errors import IntegrityError, InvalidImage, InvalidName
from layerstore.drivers.model.image_config import MAX_CONFIG, ImageFacts, parse_config
from layerstore.drivers.model.reference import parse_tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedLayer:
    """One layer's blob; `digest` is what the archive promises of it, compressed as it is."""

    blob: str
    digest: str | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """One image of an archive, its layers in the order of the configuration's diff IDs."""

    config: bytes
    facts: ImageFacts
    layers: tuple[ArchivedLayer, ...]
    names: tuple[str, ...]


def make_image(
    archive: Archive, config: bytes, layers: list[ArchivedLayer], names: list[str], what: str
) -> ArchivedImage:
    """Check that configuration and layers fit together; `what` names the configuration."""
    facts = parse_config(config, f"{what} in {archive.label}")
    if len(layers) != len(facts.diff_ids):
        raise InvalidImage(
            archive.label,
            f"{len(layers)} layers in the manifest, {len(facts.diff_ids)} diff IDs in {what}",
        )
    return ArchivedImage(
        config=config,
        facts=facts,
        layers=tuple(layers),
        names=tuple(dict.fromkeys(_checked_name(archive, name) for name in names)),
    )


def _checked_name(archive: Archive, name: str) -> str:
    try:
        return parse_tag(name)
    except InvalidName as error:
        raise InvalidImage(archive.label, str(error)) from error


def layer_of(archive: Archive, blob: str, digest: str | None, size: int | None) -> ArchivedLayer:
    """Find a layer's blob and check its size against the promised one, where there is one."""
    actual = archive.size(blob)
    if actual is None:
        raise InvalidImage(archive.label, f"layer {blob} is missing")
    if size is not None and actual != size:
        what = f"the size in bytes of layer {blob} in {archive.label}"
        raise IntegrityError(what, str(size), str(actual))
    return ArchivedLayer(blob=blob, digest=digest, size=actual)


def read_verified(archive: Archive, blob: str, digest: str, size: int | None = None) -> bytes:
    """Read a manifest or configuration and check what is promised of it.

    Raises IntegrityError, InvalidImage, LimitExceeded.
    """
    content = read_blob(archive, blob, MAX_CONFIG)
    if size is not None and size != len(content):
        what = f"the size in bytes of {blob} in {archive.label}"
        raise IntegrityError(what, str(size), str(len(content)))
    actual = "sha256:" + hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise IntegrityError(f"the digest of {blob} in {archive.label}", digest, actual)
    return content
