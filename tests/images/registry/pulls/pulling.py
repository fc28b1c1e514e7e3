"""How tests pull: from a registry or its proxy, with little patience, and what they look at."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerstore import Image, LayerStore
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.settings import RegistrySettings
from layerstore.images.registry.wire.patience import Patience
from tests.images.samples import LAYERS
from tests.support.archives import config_of, digest_of
from tests.support.registries.daemon import Registry
from tests.support.registries.images import LAYER, put_image

HASTY = Patience(attempts=3, first_wait=0.001, longest_wait=0.01, silence=100, window=100)
"""Patience with a registry that answers at once, if at all."""
FILES = {"etc/name": b"top", "bin/sh": b"#!"}
"""What is in the image of `put_sample`."""
NOISE = os.urandom(300_000)


def client(
    host: str = "",
    login: Login | None = None,
    *,
    settings: RegistrySettings | None = None,
    patience: Patience = HASTY,
) -> RegistryClient:
    """Return one that reads no file of this machine; `login` is for `host`."""
    credentials = Credentials({host: login}) if login is not None else Credentials()
    return RegistryClient(settings or RegistrySettings(), credentials, patience=patience)


def pull(store: LayerStore, name: str, *, by: RegistryClient | None = None, **more: Any) -> Image:
    """Pull by a client, `client()` by default, and close it."""
    with by or client() as asked:
        return store.images.pull(name, client=asked, **more)


@dataclass(frozen=True)
class Sample:
    """An image that was put into a registry, and the digests of its parts."""

    rest: str
    """Its name after the registry's."""
    manifest: str
    config: str
    layers: tuple[str, ...]


def put_sample(registry: Registry, rest: str, layers: Sequence[bytes] = LAYERS) -> Sample:
    """Put an image there whose layers are gzipped, but for the last: by default with `FILES`."""
    repository, _, tag = rest.partition(":")
    blobs = [(gzip.compress(layer, mtime=0), f"{LAYER}+gzip") for layer in layers[:-1]]
    blobs.append((layers[-1], LAYER))
    manifest = put_image(registry, repository, tag, blobs, layers)
    digests = tuple(digest_of(blob) for blob, _ in blobs)
    return Sample(rest, manifest.digest, digest_of(config_of(layers)), digests)


def nothing_half_made(store: LayerStore) -> None:
    """Check that all that a store has is whole, and that what it was rid of is off the disk."""
    store.drain()
    assert store.check(full=True) == []
    ours = Path(store.root, "layerstore")
    assert [*(ours / "trash").glob("*"), *(ours / "tmp").glob("*")] == []
