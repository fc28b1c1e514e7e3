"""Pulling: an image of a registry becomes one of the store.

Owns the order: the manifest for a platform and its configuration, the layers that aren't there, the
image with its names. A pull that ends in the middle, by a failing network, an interrupt or because
somebody has told it to stop, leaves the layers that were whole, so that the next one goes on there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from layerstore.archive.image import ArchivedImage
from layerstore.archive.read import read_images
from layerstore.asking.progress import Notice, Progress
from layerstore.drivers.errors import (
    InvalidImage,
    JobCancelled,
    LayerStoreError,
    RegistryError,
)
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.reference import Reference
from layerstore.drivers.records.distribution import DistributionRecords
from layerstore.images.distribution.fetching import Fetcher
from layerstore.images.distribution.remote import KeptConfig, RemoteArchive, wanted_of
from layerstore.images.registry.client import RegistryClient
from layerstore.operations.blocking import BlockingStore

log = logging.getLogger("layerstore")


class Pull(NamedTuple):
    """What is to be pulled, and how."""

    reference: Reference
    platform: str | None
    parallel: int
    progress: Progress | None
    notice: Notice
    kept_config: KeptConfig
    """See RemoteArchive."""


class Arrived(NamedTuple):
    """An image whose layers are in the store."""

    image: ArchivedImage
    digest: str
    """That of the manifest, or the index, that was asked for."""


@contextmanager
def pulled(store: BlockingStore, client: RegistryClient, pull: Pull) -> Iterator[Arrived]:
    """Give an image of a registry, its layers in the store, for a `with` block.

    Raises what ImageStore.pull raises.
    """
    limits = store.core.disk.limits
    archive = remote_archive(client, pull.reference, pull.kept_config)
    wanted = wanted_of(pull.platform)
    found = read_images(archive, wanted, limits)
    for line in found.notes:
        pull.notice(line)
    (image,) = found.images
    keep = False
    fetcher = Fetcher(
        store,
        archive,
        most=pull.parallel,
        progress=pull.progress,
        stop=client.stop,
        elsewhere=archive.pass_over,
    )
    try:
        fetcher.load(image)
        _learn(store, fetcher.verified, pull.reference)
        yield Arrived(image, archive.digest)
    except BaseException as error:
        keep = _goes_on_later(error)
        raise
    finally:
        fetcher.close(keep=keep)


def remote_archive(
    client: RegistryClient, reference: Reference, kept_config: KeptConfig | None = None
) -> RemoteArchive:
    """Ask a registry for what a name means there. Raises RegistryError."""
    meant = reference.looked_up()
    wanted = meant.digest or meant.tag
    if wanted is None:
        raise InvalidImage(str(reference), "it says neither a tag nor a digest")
    repository = client.repository(reference)
    name = meant.canonical() if meant.digest is None else None
    return RemoteArchive(repository, wanted, reference.canonical(), name, kept_config)


def digest_name(reference: Reference, digest: str) -> str:
    """Return the name of an image by the digest of its manifest, as docker records it."""
    return str(Reference(reference.repository, digest=digest))


def _goes_on_later(error: BaseException) -> bool:
    """Whether what is there already is worth keeping: nothing is wrong with it."""
    return not isinstance(error, LayerStoreError) or isinstance(error, RegistryError | JobCancelled)


def _learn(
    store: BlockingStore, verified: Iterable[tuple[DiffID, str]], reference: Reference
) -> None:
    """Take down which blobs layers came as, so that they needn't be sent again.

    Only what was verified is: of a layer that was there the manifest may say what it likes.
    """
    core = store.core
    records = DistributionRecords(core.root, core.config.driver, durable=core.durable)
    source = Reference(reference.repository).canonical()
    try:
        for diff, digest in verified:
            records.learn(diff, digest, source)
    except LayerStoreError as error:
        log.warning("which blobs layers came as can't be recorded: %s", error)
