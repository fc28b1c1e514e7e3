"""What a registry says of an image, without its layers."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from layerstore.archive.image import ArchivedImage
from layerstore.archive.read import read_images
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.limits import Limits
from layerstore.images.distribution.pull import digest_name, remote_archive
from layerstore.images.distribution.remote import wanted_of
from layerstore.images.registry.client import RegistryClient


class RemoteLayer(Struct, frozen=True):
    """A layer's blob in a registry."""

    digest: str
    size: int
    """Bytes, compressed as it is."""
    diff_id: str


class RemoteImage(Struct, frozen=True):
    """An image in a registry, of one platform."""

    name: str
    """With all that its short form leaves out."""
    digest: str
    """Of the manifest, or the index, that the name stands for."""
    id: str
    """`sha256:<hex>` of its configuration, as it is once it is pulled."""
    config: dict[str, Any]
    layers: tuple[RemoteLayer, ...]
    platforms: tuple[str, ...]
    """Of an index, those that it lists."""
    digest_name: str
    """As in RepoDigests."""


def remote_tags(client: RegistryClient, repository: str) -> tuple[str, ...]:
    """Ask a registry for a repository's tags. Raises as ImageStore.tags."""
    reference = client.settings.meant(repository)
    if not reference.is_repository:
        raise InvalidArgument(repository, "tags are those of a repository alone")
    return tuple(client.repository(reference).tags())


def remote_image(
    client: RegistryClient, name: str, platform: str | None, limits: Limits
) -> RemoteImage:
    """Ask a registry for an image's manifest and configuration. Raises as ImageStore.remote."""
    reference = client.settings.meant(name)
    archive = remote_archive(client, reference)
    wanted = wanted_of(platform)
    (image,) = read_images(archive, wanted, limits).images
    return RemoteImage(
        name=reference.looked_up().canonical(),
        digest=archive.digest,
        id=image.facts.image_id,
        config=msgspec.json.decode(image.config),
        layers=tuple(_layers(image)),
        platforms=archive.platforms,
        digest_name=digest_name(reference, archive.digest),
    )


def _layers(image: ArchivedImage) -> list[RemoteLayer]:
    pairs = zip(image.layers, image.facts.diff_ids, strict=True)
    return [RemoteLayer(layer.digest or "", layer.size, diff) for layer, diff in pairs]
