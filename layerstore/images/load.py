"""Loading images: an archive's layers become the store's, then its images.

Owns the order: every layer of every image is registered and retained before the first image is
added, so a failure leaves nothing but what was there before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import cast

from layerstore.archive.archive import Archive
from layerstore.archive.image import ArchivedImage, ArchivedLayer, Found
from layerstore.archive.open import ArchiveSource, open_archive, spool_directory
from layerstore.archive.read import read_images
from layerstore.archive.wanted import Wanted
from layerstore.asking.progress import Progress
from layerstore.asking.source import Region, Source
from layerstore.drivers.errors import (
    CallerError,
    IntegrityError,
    InvalidImage,
    InvalidTar,
    LayerDoesNotExist,
    LayerStoreError,
)
from layerstore.drivers.model.ids import ChainID, DiffID, hex_of
from layerstore.operations.blocking import BlockingStore, Layer


@contextlib.contextmanager
def loaded_layers(
    store: BlockingStore, source: ArchiveSource, wanted: Wanted, progress: Progress | None
) -> Iterator[Found]:
    """Give what is wanted of an archive, its layers registered, for a `with` block.

    Raises what ImageStore.load raises.
    """
    spool = spool_directory(store.core.root)
    archive = open_archive(source, spool, store.core.disk.limits, progress)
    loader = _LayerLoader(store, archive, progress)
    try:
        found = read_images(archive, wanted, store.core.disk.limits)
        loader.load_all(found)
        yield found
    finally:
        loader.close()
        archive.close()


class _LayerLoader:
    """Registers layers and retains them until it is closed."""

    def __init__(self, store: BlockingStore, archive: Archive, progress: Progress | None) -> None:
        self._store = store
        self._archive = archive
        self._progress = progress
        self._held = contextlib.ExitStack()

    def load_all(self, found: Found) -> None:
        """Load the layers of all images, and leave out those that don't have them all.

        Raises InvalidImage where none has.
        """
        listed, found.images = found.images, []
        for image in listed:
            try:
                self.load(image)
            except InvalidImage as error:
                found.leave_out(error)
            else:
                found.images.append(image)
        found.drop_spare_steps()
        found.all_of_it(self._archive.label)

    def load(self, image: ArchivedImage) -> None:
        """Register the image's layers, unpacking only those that are not there yet.

        Raises IntegrityError and InvalidImage, which name the layer.
        """
        parent: ChainID | None = None
        pairs = zip(image.facts.chain_ids(), image.facts.diff_ids, image.layers, strict=True)
        for chain, diff, archived in pairs:
            try:
                layer = self._store.get(chain)
                self._report(diff, archived.size, archived.size)
            except LayerDoesNotExist:
                layer = self._register(archived, diff, parent)
            self._held.callback(layer.release)
            parent = chain

    def _register(self, archived: ArchivedLayer, diff: DiffID, parent: ChainID | None) -> Layer:
        what = f"layer {archived.blob} in {self._archive.label}"
        with self._archive.open(archived.blob) as region:
            source: Source = region
            if self._progress is not None:
                source = _Counted(region, lambda done: self._report(diff, done, region.size))
            try:
                return self._store.register(
                    source,
                    parent,
                    expected_diff_id=diff,
                    descriptor=archived.descriptor,
                    expected_digest=archived.digest,
                    compression="auto",
                )
            except IntegrityError as error:
                raise IntegrityError(what, error.expected, error.actual) from error
            except InvalidTar as error:
                raise InvalidImage(what, str(error)) from error
            except CallerError as error:
                if isinstance(error.__cause__, LayerStoreError):
                    raise error.__cause__ from error
                raise

    def _report(self, diff: DiffID, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(hex_of(diff)[:12], done, total)

    def close(self) -> None:
        """Give the layers back; those that no image keeps go."""
        self._held.close()


class _Counted:
    """A window of a file that is read here, so that somebody can watch."""

    def __init__(self, region: Region, report: Callable[[int], None]) -> None:
        self._region = region
        self._done = 0
        self._report = report

    def read(self, size: int, /) -> bytes:
        left = self._region.size - self._done
        fd = cast("int", self._region.file)
        chunk = os.pread(fd, min(size, left), self._region.offset + self._done)
        self._done += len(chunk)
        self._report(self._done)
        return chunk
