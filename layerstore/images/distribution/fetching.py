"""Getting the layers of an image that come from elsewhere, several at a time.

Owns the order: what the store has is not fetched; the rest goes from where it comes straight into
unpacking where the driver lays layers side by side, and through nameless files where each is made
of the one beneath it, or is read from another layer. What is told of progress is told in the
caller's thread.
"""

from __future__ import annotations

import contextlib
import heapq
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import IO, NoReturn

from layerstore.archive.image import ArchivedImage
from layerstore.archive.open import spool_directory, spool_file
from layerstore.asking.later import Later
from layerstore.asking.progress import Progress
from layerstore.asking.source import Region
from layerstore.drivers.errors import (
    JobCancelled,
    LayerDoesNotExist,
    LayerStoreError,
)
from layerstore.images.ahead import begin_ahead, register_ahead
from layerstore.images.distribution.coming import (
    Coming,
    Provider,
    named,
    pump_from,
    spool,
)
from layerstore.images.distribution.image_layers import Elsewhere, ImageLayers
from layerstore.images.registry.stop import Stop
from layerstore.operations.blocking import BlockingStore, Layer

_MOST_COMING = 16
"""Layers that are fetched, or wait for those beneath them, at once."""
_ATTEMPTS = 3
"""How often a layer is begun whose parent was somebody else's, who gave up."""


class Fetcher(ImageLayers):
    """Fetches the layers of one image, and holds them until it is closed."""

    def __init__(
        self,
        store: BlockingStore,
        provider: Provider,
        *,
        most: int,
        progress: Progress | None,
        stop: Stop,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Fetch `most` blobs at once; `stop` ends it, and is told where one can't be had."""
        super().__init__(store, provider, progress=progress, stop=stop, elsewhere=elsewhere)
        self._most = most
        self._files = contextlib.ExitStack()
        """What is open as long as threads may write to it."""
        self._todo: list[Coming] = []
        """A heap: what lies beneath comes first."""
        self._coming: set[Coming] = set()

    def load(self, image: ArchivedImage) -> None:
        """Have all layers of an image in the store.

        Raises IntegrityError and InvalidImage, which name the layer, JobCancelled, and what the
        provider and LayerStore.register raise. Nothing is under way then.
        """
        self._todo = self._missing(image)
        if not self._todo:
            return
        try:
            with (
                self._files,
                ThreadPoolExecutor(self._most, thread_name_prefix="layerstore-fetch") as threads,
            ):
                try:
                    with self._stop.on(lambda: self._news.put(self._stopped)):
                        self._fetch(threads)
                except BaseException as error:
                    self._give_up(error)
                    raise
        finally:
            self._await_others()

    def _fetch(self, threads: ThreadPoolExecutor) -> None:
        if self._store.core.disk.driver.copies:
            self._one_after_another(threads)
        else:
            self._side_by_side(threads)

    def _take_news(self) -> None:
        """Wait for what a thread or the store has to tell, and act on it."""
        self._news.get()()

    def _stopped(self) -> NoReturn:
        raise JobCancelled(f"fetching {self._provider.label}")

    def _give_up(self, error: BaseException) -> None:
        """End what is under way; its threads end by themselves then."""
        self._stop.tell()
        in_haste = not isinstance(error, LayerStoreError)
        for one in sorted(self._coming, reverse=True):
            # Also where its blob is whole: it may wait for somebody else who makes the same.
            if one.later is not None and not one.later.over:  # else the layer is whole, and kept
                one.is_given_up = True
                if in_haste:
                    one.later.abandon()
                else:
                    one.later.undo()

    def _await_others(self) -> None:
        """Wait for what is on its way still, so that nothing of it is left when all is given back.

        It is there already, or being undone.
        """
        for one in sorted(self._coming):
            if one.later is not None:
                with contextlib.suppress(LayerStoreError):
                    layer = one.later.get()
                    if not one.is_given_up:
                        self._take(layer)
        self._coming.clear()

    # Side by side

    def _side_by_side(self, threads: ThreadPoolExecutor) -> None:
        """Begin in order, each as soon as there is a thread for it."""
        while self._todo or self._coming:
            while self._todo and self._may_begin(self._todo[0]):
                self._begin(heapq.heappop(self._todo), threads)
            self._take_news()

    def _may_begin(self, one: Coming) -> bool:
        fetching = sum(other.fetching is not None for other in self._coming)
        if fetching >= self._most or len(self._coming) >= _MOST_COMING:
            return False
        if any(other.later is None for other in self._coming):
            return False  # it lies on one that isn't asked for yet
        return not one.begun or self._holds(one.parent)

    def _begin(self, one: Coming, threads: ThreadPoolExecutor) -> None:
        one.begun += 1
        self._report(one.called, 0, one.archived.size)
        source, file = self._opening(one), None
        if one.twin is not None:
            # It is read by a job that must not wait until those are over that wait for it.
            file = self._nameless_file()
            fetching = threads.submit(spool, source, file)
        else:
            later, pump = begin_ahead(
                self._store,
                source,
                one.parent,
                one.diff,
                descriptor=one.archived.descriptor,
                expected_digest=one.archived.digest,
            )
            self._follow(one, later)
            fetching = threads.submit(pump_from, pump, source)
        one.fetching, one.source = fetching, source
        self._coming.add(one)
        fetching.add_done_callback(
            lambda done: self._news.put(partial(self._fetched, one, file, done))
        )

    def _nameless_file(self) -> IO[bytes]:
        return self._files.enter_context(spool_file(spool_directory(self._store.core.root)))

    def _follow(self, one: Coming, later: Later[Layer]) -> None:
        one.later = later
        self._coming.add(one)
        later.when_set(lambda made: self._news.put(partial(self._made, one, made)))

    def _fetched(self, one: Coming, file: IO[bytes] | None, done: Future[None]) -> None:
        """A blob is there, or nobody wants more of it, or it can't be had."""
        if one.fetching is not done:
            return
        one.fetching = None
        error = done.exception()
        if error is not None:
            self._failed(one, error)
        elif file is not None:
            region = Region(file.fileno(), 0, file.tell())
            kept = one.archived.descriptor
            later = register_ahead(self._store, region, one.parent, one.diff, descriptor=kept)
            file.close()
            self._follow(one, later)

    def _made(self, one: Coming, later: Later[Layer]) -> None:
        """A layer is in the store, or can't be made."""
        if one.later is not later:
            return
        try:
            layer = later.get(timeout=0)
        except JobCancelled as error:
            self._failed(one, self._cause_of_end(one) or error)
        except LayerStoreError as error:
            self._failed(one, error)
        else:
            one.fetching = None  # how that ends doesn't matter any more
            self._take(layer)  # first, so that whatever interrupts this gives it back
            self._coming.discard(one)
            source = one.source
            self._there(
                one, layer, source is not None and source.is_what_was_promised(one.archived.size)
            )

    def _cause_of_end(self, one: Coming) -> BaseException | None:
        """Return why whoever unpacks has heard that no more comes, if that was for the source.

        If not, as where the store is being closed, the thread that reads it knows nothing yet, and
        waits perhaps for a silent connection.
        """
        if one.fetching is None or one.source is None or not one.source.failed:
            return None
        return one.fetching.exception()

    def _failed(self, one: Coming, error: BaseException) -> None:
        """Begin once more what can be had otherwise; else raise what is wrong."""
        if isinstance(error, LayerDoesNotExist) and one.begun < _ATTEMPTS:
            # What it was to lie on was for somebody else to make, who failed or gave up. Or it is
            # this image's, and failed: that is told, too.
            pass
        elif not self._has_another_way(one, error):
            raise named(one.archived, self._provider.label, error) from error
        if one.later is not None and not one.later.over:
            one.later.abandon()
        one.later = one.fetching = None
        self._coming.discard(one)
        heapq.heappush(self._todo, one)

    # One after another

    def _one_after_another(self, threads: ThreadPoolExecutor) -> None:
        """Have blobs fetched into files, and register each when it is its turn."""
        coming: deque[tuple[Coming, IO[bytes]]] = deque()

        def begin(one: Coming) -> tuple[Coming, IO[bytes]]:
            self._report(one.called, 0, one.archived.size)
            file = self._nameless_file()
            one.fetching = threads.submit(spool, self._opening(one), file)
            one.fetching.add_done_callback(lambda _: self._news.put(_nothing))
            return one, file

        while self._todo or coming:
            while self._todo and len(coming) < self._most:
                coming.append(begin(heapq.heappop(self._todo)))
            one, file = coming.popleft()
            try:
                self._register(one, file)
            except LayerStoreError as error:
                if not self._has_another_way(one, error):
                    raise named(one.archived, self._provider.label, error) from error
                coming.appendleft(begin(one))
            file.close()

    def _register(self, one: Coming, file: IO[bytes]) -> None:
        """Register what a thread fetches, once it is there."""
        while one.fetching is not None and not one.fetching.done():
            self._take_news()
        if one.fetching is not None:
            one.fetching.result()
        self._check()
        layer = self._store.register(
            Region(file.fileno(), 0, file.tell()),
            one.parent,
            expected_diff_id=one.diff,
            descriptor=one.archived.descriptor,
            expected_digest=one.archived.digest if one.twin is None else None,
            compression="auto",
        )
        self._there(one, layer, one.twin is None and one.archived.digest is not None)


def _nothing() -> None:
    """Wake whoever waits for news."""
