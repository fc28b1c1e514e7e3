"""Retaining and releasing layers: the part of the LayerRegistry that counts who keeps what.

Owns the way of a layer from its last reference to its end, and of the parents that only it kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import structs

from layerstore.actors import messages as m
from layerstore.actors.books.layer_entry import LayerEntry, LayerState
from layerstore.actors.books.layers import LayerBooks
from layerstore.actors.registries.submitter import Submitter
from layerstore.actors.runtime.base import Promise, log
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.watching.trace import Envelope
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import LayerDoesNotExist, LayerNotRetained, LayerStoreError
from layerstore.drivers.model.ids import ChainID

Removed = list[m.LayerMetadata]


class Retaining(Submitter):
    """Counts references and uses; removes what has neither."""

    def __init__(
        self, identity: Identity, pool: Ref, lane: Lane, reaper: Ref, books: LayerBooks
    ) -> None:
        super().__init__(identity, pool, lane)
        self.books = books
        self._reaper = reaper
        self._stuck: dict[ChainID, LayerEntry] = {}
        """What nothing keeps any more, but could not be removed."""

    def get(self, message: m.GetLayer) -> m.LayerMetadata:
        """Give a caller a reference."""
        entry = self.books.find(message.chain_id)
        self.books.hold_another(entry, message.reference)
        self._go_on_releasing(entry)
        return entry.metadata()

    def get_unheard(self, message: m.GetLayer) -> None:
        """Enter a reference that a caller has taken, by leave that was given for it."""
        self._go_on_releasing(self.books.hold_taken(message.chain_id, message.reference))

    def hold(self, entry: LayerEntry, reference: int) -> None:
        """Enter a reference to a layer that is there."""
        self.books.hold(entry, reference)
        self._go_on_releasing(entry)

    def release(
        self, chain_id: ChainID, reference: int, *, keep: bool = False
    ) -> Removed | Promise:
        """Take a caller's reference back; the last one removes the layer.

        With `keep` it is as if that one had never been.
        """
        entry = self.books.find_any(chain_id)
        if entry is None:
            return self.finish_removals()
        if not self.books.holds(entry, reference):
            raise LayerNotRetained(chain_id)
        if keep:
            self.give_up(entry, reference, stays=True)
            self._go_on_releasing(entry)
            return []
        if self.books.may_let_go(entry):
            return self._let_go(entry, reference)
        # All others are on their way to be given back unheard, so this is the last; or it is the
        # only one, and others are on their way.
        promise, cause = self.promise(), self._handling
        entry.releasing.append(partial(self._release_again, entry, reference, promise, cause))
        return promise

    def release_unheard(self, chain_id: ChainID, reference: int) -> None:
        """Take back a reference that isn't the last, by leave that was given for it."""
        entry = self.books.find_any(chain_id)
        if entry is None:
            return
        self.books.let_go_taken(entry, reference)
        self._go_on_releasing(entry)
        # It is, where somebody gave up who held another.
        if entry.state is LayerState.READY and not self.books.is_kept(entry):
            self.remove(entry, [], self.log_removal)

    def _go_on_releasing(self, entry: LayerEntry) -> None:
        waiting, entry.releasing = entry.releasing, []
        for again in waiting:
            again()

    def _release_again(
        self, entry: LayerEntry, reference: int, promise: Promise, cause: Envelope | None
    ) -> None:
        with self.for_request(cause):
            if reference not in entry.held:
                self.reject(promise, LayerNotRetained(entry.chain_id))
            elif self.books.may_let_go(entry):
                self._let_go(entry, reference, promise)
            else:
                again = partial(self._release_again, entry, reference, promise, cause)
                entry.releasing.append(again)

    def _let_go(
        self, entry: LayerEntry, reference: int, promise: Promise | None = None
    ) -> Removed | Promise:
        self.books.let_go(entry, reference)
        if entry.references:
            self.books.drop(reference)
            if promise is not None:
                self.fulfil(promise, [])
            return []
        promised = promise or self.promise()

        def finish(removed: Removed, error: LayerStoreError | None) -> None:
            if error is not None and not removed:
                self.books.hold(entry, reference)
            else:
                self.books.drop(reference)
            if error is None:
                self.fulfil(promised, removed)
            else:
                self.reject(promised, error)

        self.remove(entry, [], finish)
        return promised

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
                self._stuck[entry.chain_id] = entry
            return
        self._stuck.pop(entry.chain_id, None)
        removed.append(entry.metadata())
        self.books.close_entry(entry)
        self.send(self._reaper, m.Sweep())
        entry.wake()
        parent = entry.parent
        if (
            parent is not None
            and (parent.forsaken or not entry.undone)
            and parent.state is LayerState.READY
            and not self.books.is_kept(parent)
        ):
            self.remove(parent, removed, finish)
        else:
            finish(removed, None)

    def finish_removals(self, *, aside: bool = False) -> Removed | Promise:
        """Try again what could not be removed; the answer is that of the first.

        It is the request's that is being handled, unless that is for something else.
        """
        stuck, self._stuck = self._stuck, {}
        kept = self.books.is_kept
        left = [e for e in stuck.values() if e.state is LayerState.READY and not kept(e)]
        if not left:
            return []
        promise = self.promise(aside=aside)

        def finish(removed: Removed, error: LayerStoreError | None) -> None:
            if error is None:
                self.fulfil(promise, removed)
            else:
                self.reject(promise, error)

        self.remove(left[0], [], finish)
        for entry in left[1:]:
            self.remove(entry, [], self.log_removal)
        return promise

    def give_up(self, entry: LayerEntry, reference: int, *, stays: bool = False) -> None:
        """Strike out a caller's reference who is gone; what it has made goes too, or `stays`."""
        self.books.undo(entry, reference, stays=stays)
        self._remove_forsaken(entry)

    def unuse(self, entry: LayerEntry) -> None:
        """End a use in passing; a layer that was given up meanwhile goes now."""
        entry.users -= 1
        self._remove_forsaken(entry)

    def _remove_forsaken(self, entry: LayerEntry) -> None:
        ready = entry.state is LayerState.READY
        if entry.forsaken and ready and not self.books.is_kept(entry):
            self.remove(entry, [], self.log_removal)

    def log_removal(self, _removed: Removed, error: LayerStoreError | None) -> None:
        """Finish a removal that nobody waits for."""
        if error is not None:
            log.warning("a released layer could not be removed: %s", error)

    def retain_for_mount(self, message: m.RetainLayer) -> None:
        """Answer a mount that wants to be made upon a layer, or have it made."""
        try:
            entry = self.books.find(message.chain_id)
        except LayerDoesNotExist as error:
            self._answer(message, error=error)
            return
        entry.users += 1
        if message.job is None:
            self._answer(message, entry.metadata())
            return
        job = structs.replace(message.job, parent_cache_id=entry.cache_id)
        self.hand_in(
            m.Submit(
                token=message.token, job=job, reply_to=message.reply_to, along=entry.metadata()
            )
        )

    def drop_for_mount(self, message: m.DropLayer) -> None:
        """Answer a mount that is gone, or never came to be."""
        entry = self.books.find(message.chain_id)
        if message.failed:
            self.unuse(entry)
            self._answer(message, [])
            return
        entry.users -= 1
        self.books.forsake(entry)
        if self.books.is_kept(entry):
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
