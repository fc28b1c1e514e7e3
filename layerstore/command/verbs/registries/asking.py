"""The verbs that ask registries: pull, tags, and inspect from afar.

Owns what is printed about it, which is docker's where docker has it.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from layerstore.command.output.documents import print_found
from layerstore.command.output.notes import tell
from layerstore.command.registries import check_creds, registry_client
from layerstore.command.verbs.registries.pulling import SCHEME, pulled
from layerstore.drivers.errors import ImageDoesNotExist, InvalidArgument, LayerStoreError
from layerstore.drivers.model.docker_config import process_of
from layerstore.drivers.model.limits import Limits
from layerstore.images.distribution.remote_image import RemoteImage, remote_image, remote_tags

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.images.registry.client import RegistryClient


def pull(store: LayerStore, options: argparse.Namespace) -> int:
    """Pull an image, or all that a repository has."""
    asked: str = options.image.removeprefix(SCHEME)
    with store.shared(), registry_client(options, asked, notice=tell) as client:
        for name in _named(store, client, asked, every=options.all_tags):
            known = client.settings.meant(name).looked_up()
            before = _named_so(store, known.canonical())
            image = pulled(store, client, name, options, sys.stdout)
            what = "Image is up to date" if image.id == before else "Downloaded newer image"
            if not options.quiet:
                print(f"Digest: {image.loaded_by[0].partition('@')[2]}")
                print(f"Status: {what} for {known}")
            print(known.canonical())
    return 0


def _named_so(store: LayerStore, name: str) -> str | None:
    """Return the ID of the image that has a full name, if one has."""
    try:
        return store.images.get(name).id
    except ImageDoesNotExist:
        return None


def _named(store: LayerStore, client: RegistryClient, name: str, *, every: bool) -> list[str]:
    if not every:
        return [name]
    reference = client.settings.meant(name)
    if not reference.is_repository:
        raise InvalidArgument(name, "with --all-tags it is to be a repository alone")
    return [f"{reference.repository}:{tag}" for tag in store.images.tags(name, client=client)]


def tags(options: argparse.Namespace) -> int:
    """Print the tags of a repository."""
    repository = options.repository.removeprefix(SCHEME)
    with registry_client(options, repository, notice=tell) as client:
        for tag in remote_tags(client, repository):
            print(tag)
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Print what registries say of images; the bad ones don't keep the others."""
    found, status = [], 0
    names = [given.removeprefix(SCHEME) for given in options.names]
    check_creds(options, names)
    for name in names:
        try:
            with registry_client(options, name, notice=tell) as client:
                limits = Limits(**dict(options.limits))
                found.append(_facts(remote_image(client, name, options.platform, limits)))
        except LayerStoreError as error:
            print(f"layerstore: {error}", file=sys.stderr)
            status = 1
    print_found(found, options.format)
    return status


def _facts(image: RemoteImage) -> dict[str, Any]:
    """Return what is known of an image elsewhere, by docker's keys where docker has the fact."""
    config = image.config
    return {
        "Id": image.id,
        "Name": image.name,
        "RepoDigests": [image.digest_name],
        "Digest": image.digest,
        "Platforms": list(image.platforms),
        "Created": config.get("created") or "",
        "Author": config.get("author") or "",
        "Config": process_of(config),
        "Architecture": config.get("architecture") or "",
        "Variant": config.get("variant") or "",
        "Os": config.get("os") or "",
        "Size": sum(layer.size for layer in image.layers),
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in image.layers]},
        "Blobs": [{"Digest": layer.digest, "Size": layer.size} for layer in image.layers],
    }
