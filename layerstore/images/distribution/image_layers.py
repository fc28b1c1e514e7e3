"""The layers of one image: which are there, and where each of the others comes from.

Owns what is held of them until all is given back, and what is told of each. In what order the
others come is for `fetching`.
"""

from __future__ import annotations

import contextlib
import logging
import queue
from collections.abc import Callable, Iterator
from functools import partial

from layerstore.actors import messages as m
from layerstore.archive.image import ArchivedImage
from layerstore.asking.progress import Progress
from layerstore.asking.source import Readable
from layerstore.drivers.errors import (
    IntegrityError,
    InvalidTar,
    JobCancelled,
    LayerDoesNotExist,
    LayerStoreError,
    LimitExceeded,
    StoreClosed,
)
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.images.distribution.coming import Coming, Opening, Provider, called_in_progress
from layerstore.images.registry.stop import Stop
from layerstore.operations.blocking import BlockingStore, Layer

log = logging.getLogger("layerstore")
Elsewhere = Callable[[str, LayerStoreError], bool]
"""Told what is wrong with a blob that came; whether it comes from elsewhere the next time."""
_BAD = (IntegrityError, InvalidTar, LimitExceeded)
"""What may be wrong with what came, rather than with its coming."""


class ImageLayers:
    """Holds what is there, and opens what isn't."""

    def __init__(
        self,
        store: BlockingStore,
        provider: Provider,
        *,
        progress: Progress | None,
        stop: Stop,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._store = store
        self._provider = provider
        self._progress = progress
        self._stop = stop
        self._elsewhere = elsewhere
        self.verified: list[tuple[DiffID, str]] = []
        """Layers that were fetched, and the digests that their blobs are known to have."""
        self._held: dict[ChainID, Layer] = {}
        self._to_give_back = contextlib.ExitStack()
        self._keep = False
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """What threads have to tell, to be done in the caller's."""

    def close(self, *, keep: bool) -> None:
        """Give the layers back; those that nothing keeps go, or `keep` them for the next time."""
        self._keep = keep
        self._to_give_back.close()

    def _take(self, layer: Layer) -> None:
        """Hold a layer until all are given back."""
        if self._held.get(layer.chain_id) is not layer:
            self._to_give_back.callback(self._give_back, layer)
            self._held[layer.chain_id] = layer

    def _give_back(self, layer: Layer) -> None:
        """Give a layer back; where that can't be done, others go and no other error is hidden."""
        try:
            layer.release(keep=self._keep)
        except StoreClosed:
            pass  # and so everything is given back
        except LayerStoreError as error:
            log.warning("a layer that was fetched can't be given back: %s", error)

    def _missing(self, image: ArchivedImage) -> list[Coming]:
        """Hold what is there of an image, from its base on, and return the rest."""
        missing: list[Coming] = []
        parent: ChainID | None = None
        layers = zip(image.facts.chain_ids(), image.facts.diff_ids, image.layers, strict=True)
        for place, (chain, diff, archived) in enumerate(layers):
            if not missing and self._hold(chain):
                self._report(called_in_progress(archived, diff), archived.size, archived.size)
            else:
                one = Coming(
                    place=place,
                    archived=archived,
                    diff=diff,
                    parent=parent,
                    twin=self._twin(diff),
                )
                missing.append(one)
            parent = chain
        return missing

    def _hold(self, chain: ChainID) -> bool:
        try:
            self._take(self._store.get(chain))
        except LayerDoesNotExist:
            return False
        return True

    def _twin(self, diff: DiffID) -> ChainID | None:
        """Return a layer that was made of the same tar on another parent, if there is one."""
        core = self._store.core
        found: ChainID | None = core.call(core.actors.layers, m.FindTwin(diff_id=diff))
        return found

    def _holds(self, chain: ChainID | None) -> bool:
        return chain is None or chain in self._held

    def _check(self) -> None:
        self._stop.check(f"fetching {self._provider.label}")

    def _has_another_way(self, one: Coming, error: BaseException) -> bool:
        """Whether what is wrong with a layer may be right another way, which is its from now on."""
        if isinstance(error, JobCancelled):
            return False
        if one.twin is not None:
            one.twin = None  # it can't be read
            return True
        if self._elsewhere is None or not isinstance(error, _BAD):
            return False
        return self._elsewhere(one.archived.blob, error)

    def _opening(self, one: Coming) -> Opening:
        promised = one.archived.digest if one.twin is None else None
        return Opening(partial(self._open, one), self._watched(one), self._check, promised)

    @contextlib.contextmanager
    def _open(self, one: Coming) -> Iterator[Readable]:
        """Give a layer's blob, or the tar of a layer that is the same."""
        if one.twin is None:
            with self._provider.open_layer(one.archived.blob) as blob:
                yield blob
            return
        twin = self._store.get(one.twin)
        try:
            with twin.tar_stream() as tar:
                yield tar
        finally:
            twin.release(keep=True)

    def _there(self, one: Coming, layer: Layer, verified: bool) -> None:
        self._take(layer)
        if verified and one.archived.digest is not None:
            self.verified.append((one.diff, one.archived.digest))
        self._report(one.called, one.archived.size, one.archived.size)

    def _watched(self, one: Coming) -> Callable[[int], None] | None:
        """Return what is told in a fetching thread how many bytes there are, if anybody asks."""
        if self._progress is None or one.twin is not None:
            return None
        size = one.archived.size

        def watch(done: int) -> None:
            if done < size:  # all of it is told once it is in the store
                self._news.put(partial(self._report, one.called, done, size))

        return watch

    def _report(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(what, done, total)
