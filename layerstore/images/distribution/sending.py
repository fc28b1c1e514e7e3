"""Getting a layer into a repository of a registry: as a blob that is there, or a new one.

Owns the choice: a blob that the layer was pulled or pushed as, if the repository has that or
another one of the registry does; else the layer compressed anew, to the same bytes each time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from layerstore.archive.foreign import LayerSource, source_kept
from layerstore.drivers.errors import LayerStoreError, RegistryError, RegistryUnreachable
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.drivers.model.reference import Reference
from layerstore.drivers.records.distribution import DistributionRecords, KnownBlob
from layerstore.drivers.tar.compress import Readable, compressed, in_blocks
from layerstore.images.distribution.manifests import LayerBlob, Packing
from layerstore.images.distribution.manner import Manner
from layerstore.images.registry.repository import Repository
from layerstore.images.registry.upload import Upload
from layerstore.operations.blocking import BlockingStore, Layer

log = logging.getLogger("layerstore")
Report = Callable[[int, int], None]
"""Told the bytes done and the bytes there are."""

_MOST_TRIED = 3
"""Blobs of one layer that the registry is asked for, and repositories that it is asked to take one
from. moby: getMaxMountAndExistenceCheckAttempts."""
_MAGIC: dict[Packing, bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


class LayerSender:
    """Sends layers of a store to one repository; for any number of threads at once."""

    def __init__(
        self,
        store: BlockingStore,
        repository: Repository,
        manner: Manner,
    ) -> None:
        core = store.core
        self._store = store
        self._repository = repository
        self._uploader = repository.uploader()
        self._manner = manner
        self._records = DistributionRecords(core.root, core.config.driver, durable=core.durable)
        self._here = Reference(repository.reference.repository).canonical()
        self._sent: dict[DiffID, LayerBlob] = {}
        self._unfit: set[str] = set()
        """Blobs that are compressed in another way than is wanted."""

    def send(self, chain: ChainID, diff: DiffID, report: Report) -> LayerBlob:
        """Have a layer in the repository, and return what a manifest says of it.

        The layer has to be retained meanwhile. Raises what `Uploader.upload` raises, and
        IntegrityError where the layer's files are no longer those that were registered.
        """
        with self._layer(chain) as layer:
            size = max(1, layer.diff_size)
            kept = source_kept(layer.descriptor)
        blob = self._sent.get(diff)
        if blob is None:
            foreign = _foreign(kept) if not self._manner.foreign else None
            blob = foreign or self._known(diff) or self._compress(chain, diff, size, report)
            self._sent[diff] = blob
        report(size, size)
        return blob

    @contextlib.contextmanager
    def _layer(self, chain: ChainID) -> Iterator[Layer]:
        layer = self._store.get(chain)
        try:
            yield layer
        finally:
            layer.release()

    # A blob that there is

    def _known(self, diff: DiffID) -> LayerBlob | None:
        known = self._records.blobs_of(diff)
        digests = dict.fromkeys(blob.digest for blob in sorted(known, key=self._is_elsewhere))
        for digest in list(digests)[:_MOST_TRIED]:
            found = self._found(diff, digest)
            if found is not None:
                return found
        for digest, path in self._sources(known)[:_MOST_TRIED]:
            if digest not in self._unfit and self._uploader.mount(digest, path):
                found = self._found(diff, digest)
                if found is not None:
                    return found
        return None

    def _is_elsewhere(self, blob: KnownBlob) -> bool:
        return blob.source_repository != self._here

    def _sources(self, known: Sequence[KnownBlob]) -> list[tuple[str, str]]:
        """Return the blobs that other repositories at this registry have, and the paths of these.

        What is pushed goes to the host that its name says, so that tells which registry it is.
        """
        host = self._here.partition("/")[0]
        elsewhere = [blob for blob in known if self._is_elsewhere(blob)]
        places = [(blob.digest, blob.source_repository.partition("/")) for blob in elsewhere]
        return [(digest, path) for digest, (there, _, path) in places if there == host]

    def _found(self, diff: DiffID, digest: str) -> LayerBlob | None:
        """Return a blob if the repository has it, and it is as the manifest is to have it."""
        size = self._repository.has_blob(digest)
        if size is None:
            self._note(partial(self._records.forget, diff, KnownBlob(digest, self._here)))
            return None
        packing = "plain" if digest == diff else self._packing(digest)
        if packing is None or packing not in self._wanted():
            self._unfit.add(digest)
            return None
        self._note(partial(self._records.learn, diff, digest, self._here))
        return LayerBlob(digest, size, packing)

    def _packing(self, digest: str) -> Packing | None:
        """See how a blob is compressed, which nobody has written down.

        Who may push there needn't be one who may read; None then, too.
        """
        try:
            begins = self._uploader.beginning(digest, 4)
        except RegistryUnreachable:
            raise
        except RegistryError:
            return None
        return next((way for way, magic in _MAGIC.items() if begins.startswith(magic)), None)

    def _wanted(self) -> tuple[Packing, ...]:
        if self._manner.compression is not None:
            return (self._manner.compression,)
        return ("gzip", "plain") if self._manner.format == "docker" else ("gzip", "plain", "zstd")

    # A new one

    def _compress(self, chain: ChainID, diff: DiffID, size: int, report: Report) -> LayerBlob:
        report(0, size)
        packing = self._anew(diff)
        upload = Upload(f"layer {diff}", partial(self._opened, chain, size, packing, report))
        sent = self._uploader.upload(upload)
        self._note(partial(self._records.learn, diff, sent.digest, self._here))
        return LayerBlob(sent.digest, sent.size, packing)

    def _anew(self, diff: DiffID) -> Packing:
        """Say how a layer is written; one that came as a plain tar can be made again as that."""
        plain = any(blob.digest == diff for blob in self._records.blobs_of(diff))
        return "plain" if plain and self._manner.compression is None else self._manner.way

    @contextlib.contextmanager
    def _opened(
        self, chain: ChainID, size: int, packing: Packing, report: Report
    ) -> Iterator[Iterator[bytes]]:
        """Give a layer as it is to be sent, for a `with` block."""
        with self._layer(chain) as layer, layer.tar_stream() as stream:
            tar = _Watched(stream, size, report)
            if packing == "plain":
                pieces = in_blocks(tar)
            else:
                pieces = compressed(tar, packing, self._manner.level)
            with contextlib.closing(pieces):
                yield pieces

    def _note(self, note: Callable[[], None]) -> None:
        """Take something down that saves work the next time; a push needn't fail for it."""
        try:
            note()
        except LayerStoreError as error:
            log.warning("what a registry has can't be recorded: %s", error)


class _Watched:
    """A layer's tar while somebody watches; the size of its files stands for its own.

    Not before it is there as a blob it is told to be all done.
    """

    def __init__(self, tar: Readable, size: int, report: Report) -> None:
        self._tar = tar
        self._size = size
        self._report = report
        self._done = 0

    def read(self, size: int, /) -> bytes | None:
        chunk = self._tar.read(size)
        self._done += len(chunk or b"")
        self._report(min(self._done, self._size - 1), self._size)
        return chunk


def _foreign(source: LayerSource | None) -> LayerBlob | None:
    """Return a layer that is fetched from elsewhere, so that it isn't pushed, as it is listed."""
    if source is None or not source.urls:
        return None
    packing: Packing = "plain"
    for way in ("gzip", "zstd"):
        if source.media_type.endswith(way):
            packing = way
    return LayerBlob(source.digest, source.size, packing, source.urls)
