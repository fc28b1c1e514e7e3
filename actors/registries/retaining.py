"""Retaining and releasing layers: the part of the LayerRegistry that counts who keeps what.

Owns the way of a layer from its last reference to its end, and of the parents that only it kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from layerstore.actors import messages as m
from layerstore.actors.books.layers import LayerBooks, LayerEntry, LayerState
from layerstore.actors.registries.submitter import Submitter
from layerstore.actors.runtime.base import Promise, log
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.drivers import work
from layerstore.drivers.errors import LayerDoesNotExist, LayerNotRetained, LayerStoreError
from layerstore.drivers.model.ids import ChainID

Removed = list[m.LayerMetadata]


class Retaining(Submitter):
    """Counts references and uses; removes what has neither."""

    def __init__(self, identity: Identity, pool: Ref, reaper: Ref, books: LayerBooks) -> None:
        super().__init__(identity, pool)
        self.books = books
        self._reaper = reaper
        self._stuck: list[LayerEntry] = []
        """What nothing keeps any more, but could not be removed."""

    def get(self, message: m.GetLayer) -> m.LayerMetadata:
        """Give a caller a reference."""
        entry = self.books.find(message.chain_id)
        self.books.hold(entry, message.reference)
        return entry.metadata()

    def release(self, chain_id: ChainID, reference: int) -> Removed | Promise:
        """Take a caller's reference back; the last one removes the layer."""
        entry = self.books.find_any(chain_id)
        if entry is None:
            return self.finish_removals()
        if reference not in entry.held:
            raise LayerNotRetained(chain_id)
        self.books.let_go(entry, reference)
        if entry.references:
            self.books.drop(reference)
            return []
        promise = self.promise()

        def finish(removed: Removed, error: LayerStoreError | None) -> None:
            if error is not None and not removed:
                self.books.hold(entry, reference)
            else:
                self.books.drop(reference)
            if error is None:
                self.fulfil(promise, removed)
            else:
                self.reject(promise, error)

        self.remove(entry, [], finish)
        return promise

    def remove(
        self,
        entry: LayerEntry,
        removed: Removed,
        finish: Callable[[Removed, LayerStoreError | None], None],
    ) -> None:
        """Remove a layer that nothing keeps, then every parent that nothing else kept."""
        entry.state = LayerState.REMOVING
        job = work.RemoveLayer(chain_id=entry.chain_id, cache_id=entry.cache_id)
        self.submit(job, partial(self._removed, entry, removed, finish))

    def _removed(
        self,
        entry: LayerEntry,
        removed: Removed,
        finish: Callable[[Removed, LayerStoreError | None], None],
        done: m.Done,
    ) -> None:
        if done.error is not None:
            entry.state = LayerState.READY
            finish(removed, done.error)
            entry.wake()
            if not entry.references:
                self._stuck.append(entry)
            return
        removed.append(entry.metadata())
        self.books.close_entry(entry)
        self.send(self._reaper, m.Sweep())
        entry.wake()
        parent = entry.parent
        given_up = parent is not None and (parent.forsaken or not entry.undone)
        if parent is not None and given_up and not parent.references:
            self.remove(parent, removed, finish)
        else:
            finish(removed, None)

    def finish_removals(self) -> Removed | Promise:
        """Try again what could not be removed; the answer is that of the first."""
        stuck, self._stuck = self._stuck, []
        left = [e for e in stuck if e.state is LayerState.READY and not e.references]
        if not left:
            return []
        promise = self.promise()

        def finish(removed: Removed, error: LayerStoreError | None) -> None:
            if error is None:
                self.fulfil(promise, removed)
            else:
                self.reject(promise, error)

        self.remove(left[0], [], finish)
        for entry in left[1:]:
            self.remove(entry, [], self.log_removal)
        return promise

    def unuse(self, entry: LayerEntry) -> None:
        """End a use in passing; a layer that was given up meanwhile goes now."""
        entry.users -= 1
        if entry.forsaken and not entry.references and entry.state is LayerState.READY:
            self.remove(entry, [], self.log_removal)

    def log_removal(self, _removed: Removed, error: LayerStoreError | None) -> None:
        """Finish a removal that nobody waits for."""
        if error is not None:
            log.warning("a released layer could not be removed: %s", error)

    def retain_for_mount(self, message: m.RetainLayer) -> None:
        """Answer a mount that wants to be made upon a layer."""
        try:
            entry = self.books.find(message.chain_id)
        except LayerDoesNotExist as error:
            self._answer(message, error=error)
            return
        entry.users += 1
        self._answer(message, entry.metadata())

    def drop_for_mount(self, message: m.DropLayer) -> None:
        """Answer a mount that is gone, or never came to be."""
        entry = self.books.find(message.chain_id)
        if message.failed:
            self.unuse(entry)
            self._answer(message, [])
            return
        entry.users -= 1
        self.books.forsake(entry)
        if entry.references:
            self._answer(message, [])
            return
        self.remove(entry, [], lambda removed, error: self._answer(message, removed, error=error))

    def _answer(
        self,
        question: m.RetainLayer | m.DropLayer,
        value: object = None,
        *,
        error: LayerStoreError | None = None,
    ) -> None:
        kind = type(question).__name__
        self.send(
            question.reply_to, m.Done(token=question.token, kind=kind, value=value, error=error)
        )
