"""Loading images: an archive's layers become the store's, then its images.

Owns the order: every layer of every image is registered and retained before the first image is
added, so a failure leaves nothing but what was there before. Where the driver allows it an image's
layers are unpacked side by side, each registered before the one beneath it is there.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from layerstore.archive.archive import Archive, StreamingArchive
from layerstore.archive.engines.opening import open_images
from layerstore.archive.image import UNTAKEN, ArchivedImage, ArchivedLayer, Found
from layerstore.archive.open import ArchiveSource, spool_directory
from layerstore.archive.wanted import Wanted
from layerstore.asking.later import Later
from layerstore.asking.progress import Progress
from layerstore.asking.source import Region, Source
from layerstore.drivers.errors import (
    CallerError,
    IntegrityError,
    InvalidImage,
    InvalidTar,
    LayerDoesNotExist,
    LayerStoreError,
    MaxDepthExceeded,
)
from layerstore.drivers.model.ids import ChainID, DiffID, hex_of
from layerstore.images.ahead import register_ahead
from layerstore.operations.blocking import BlockingStore, Layer

_AT_A_GLANCE = 1 << 20
"""Bytes of a layer up to which nobody needs to watch it being read."""


@contextlib.contextmanager
def loaded_layers(
    store: BlockingStore, source: ArchiveSource, wanted: Wanted, progress: Progress | None
) -> Iterator[Found]:
    """Give what is wanted of an archive, its layers registered, for a `with` block.

    Raises what ImageStore.load raises.
    """
    spool = spool_directory(store.core.root)
    opened = open_images(source, wanted, spool, store.core.disk.limits, progress)
    with contextlib.closing(opened.archive):
        found = opened.images()
        if opened.layers is not None:
            with _streamed(store, opened.layers, found, progress):
                yield found
            return
        with contextlib.closing(_LayerLoader(store, opened.archive, progress)) as loader:
            loader.load_all(found)
            yield found


@contextlib.contextmanager
def _streamed(
    store: BlockingStore, archive: StreamingArchive, found: Found, progress: Progress | None
) -> Iterator[None]:
    """Register the layers of all images, which come as streams, for a `with` block."""
    # Who loads a file waits for no threads' code.
    from layerstore.images.distribution.fetching import Fetcher  # noqa: PLC0415
    from layerstore.images.registry.stop import Stop  # noqa: PLC0415

    most = len(os.sched_getaffinity(0))
    fetcher = Fetcher(store, archive, most=most, progress=progress, stop=Stop())
    try:
        for image in found.images:
            fetcher.load(image)
        yield
    finally:
        fetcher.close(keep=False)


class _Coming(NamedTuple):
    """A layer that is being registered while others below it still are."""

    archived: ArchivedLayer
    diff: DiffID
    parent: ChainID | None
    later: Later[Layer]


class _LayerLoader:
    """Registers layers and retains them until it is closed."""

    def __init__(self, store: BlockingStore, archive: Archive, progress: Progress | None) -> None:
        self._store = store
        self._archive = archive
        self._progress = progress
        self._held = contextlib.ExitStack()
        self._coming: deque[_Coming] = deque()
        """Each on the one before."""
        copies = store.core.disk.driver.copies
        self._most = 1 if copies else len(os.sched_getaffinity(0))
        """How many layers are unpacked at once."""

    def load_all(self, found: Found) -> None:
        """Load the layers of all images, and leave out those that don't have them all.

        Raises InvalidImage where none has, and what the lone one raises.
        """
        listed, found.images = found.images, []
        for image in listed:
            try:
                self.load(image)
            except (*UNTAKEN, MaxDepthExceeded) as error:
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
        try:
            for chain, diff, archived in pairs:
                self._load_layer(archived, diff, chain, parent)
                parent = chain
            self._settle(0)
        except Exception:
            self._await_others()
            raise
        finally:
            while self._coming:  # after an interrupt
                self._coming.pop().later.abandon()

    def _load_layer(
        self, archived: ArchivedLayer, diff: DiffID, chain: ChainID, parent: ChainID | None
    ) -> None:
        layer = self._there(chain)
        if layer is not None:
            self._report(diff, archived.size, archived.size)
            self._held.callback(layer.release)
        elif self._most > 1 and (self._progress is None or archived.size <= _AT_A_GLANCE):
            self._settle(self._most - 1)
            later = self._begin(archived, diff, parent)
            self._coming.append(_Coming(archived, diff, parent, later))
        else:
            self._settle(0)
            self._held.callback(self._register(archived, diff, parent).release)

    def _there(self, chain: ChainID) -> Layer | None:
        if self._coming:
            return None  # nor is what lies on them
        try:
            return self._store.get(chain)
        except LayerDoesNotExist:
            return None

    def _begin(self, archived: ArchivedLayer, diff: DiffID, parent: ChainID | None) -> Later[Layer]:
        with archived.opened(self._archive) as region:
            return register_ahead(
                self._store,
                region,
                parent,
                diff,
                descriptor=archived.descriptor,
                expected_digest=archived.digest,
            )

    def _settle(self, most: int) -> None:
        """Wait until no more than so many layers are on their way, and hold those that came."""
        while len(self._coming) > most:
            one = self._coming[0]
            try:
                with self._naming(one.archived):
                    layer = one.later.get()
            except LayerDoesNotExist:
                # What it was to lie on was somebody else's to make, who failed or gave up; the one
                # that it does lie on is held here.
                layer = self._register(one.archived, one.diff, one.parent)
            self._coming.popleft()
            self._held.callback(layer.release)
            self._report(one.diff, one.archived.size, one.archived.size)

    def _await_others(self) -> None:
        """Wait for what is on its way still, so that nothing of it is left when all is given back.

        What lies on a layer that has failed fails at once; what is watched is small.
        """
        while self._coming:
            with contextlib.suppress(LayerStoreError):
                self._held.callback(self._coming[0].later.get().release)
            self._coming.popleft()

    def _register(self, archived: ArchivedLayer, diff: DiffID, parent: ChainID | None) -> Layer:
        with archived.opened(self._archive) as region, self._naming(archived):
            source: Source = region
            if self._progress is not None:
                source = _Counted(region, lambda done: self._report(diff, done, region.size))
            return self._store.register(
                source,
                parent,
                expected_diff_id=diff,
                descriptor=archived.descriptor,
                expected_digest=archived.digest,
                compression="auto",
            )

    @contextlib.contextmanager
    def _naming(self, archived: ArchivedLayer) -> Iterator[None]:
        """Have errors say which layer they are about."""
        what = f"layer {archived.blob} in {self._archive.label}"
        try:
            yield
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
