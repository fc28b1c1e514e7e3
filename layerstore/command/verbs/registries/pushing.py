"""The verbs that give a registry images, and names for several of them.

Owns what is printed about it, which is docker's.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from layerstore.command.output.notes import tell
from layerstore.command.registries import registry_client
from layerstore.command.verbs.registries.pulling import PUSHING, SCHEME, told
from layerstore.drivers.model.reference import DEFAULT_TAG, Reference, parse_reference
from layerstore.images.distribution.index import push_index

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore


def push(store: LayerStore, options: argparse.Namespace) -> int:
    """Push an image, or all tags of a repository."""
    options.image = options.image.removeprefix(SCHEME)
    target = options.target.removeprefix(SCHEME) if options.target is not None else None
    asked = target or _named(store, options)
    with store.shared(), registry_client(options, asked, push=True, notice=tell) as client:
        repository = Reference(client.settings.meant(asked).repository).canonical()
        if not options.quiet:
            print(f"The push refers to repository [{repository}]", flush=True)
        with told(sys.stdout, PUSHING, quiet=options.quiet) as report:
            pushed = store.images.push(
                options.image,
                target,
                all_tags=options.all_tags,
                format=options.format,
                compression=options.compression,
                level=options.compression_level,
                foreign=options.allow_nondistributable,
                parallel=options.parallel,
                progress=report,
                client=client,
            )
    for one in pushed:
        name = parse_reference(one.name)
        if options.quiet:
            print(name.canonical())
        else:
            print(f"{name.tag}: digest: {one.digest} size: {one.size}")
    return 0


def index(options: argparse.Namespace) -> int:
    """Push a name that stands for images of several platforms."""
    name: str = options.name.removeprefix(SCHEME)
    members = [member.removeprefix(SCHEME) for member in options.members]
    with registry_client(options, name, push=True, notice=tell) as client:
        pushed = push_index(client, name, members, options.format)
    print(f"{parse_reference(pushed.name).tag}: digest: {pushed.digest} size: {pushed.size}")
    return 0


def _named(store: LayerStore, options: argparse.Namespace) -> str:
    """Return what the store calls an image, which may say more of where it is from."""
    asked: str = options.image
    if options.all_tags:
        return asked
    tagged = asked if ":" in asked.rpartition("/")[2] else f"{asked}:{DEFAULT_TAG}"
    names = store.images.get(asked).names
    return next((name for name in names if f"/{name}".endswith(f"/{tagged}")), asked)
