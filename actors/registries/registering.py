"""Registering layers: the part of the LayerRegistry that takes one in, on a parent that is there.

Owns the way of a layer from its tar to its first reference, and how that ends where it fails or its
caller gives up.
"""

from __future__ import annotations

from functools import partial

from msgspec import Struct, field

from layerstore.actors import messages as m
from layerstore.actors.books.layer_entry import LayerEntry, LayerState
from layerstore.actors.books.layers import LayerBooks
from layerstore.actors.registries.retaining import Retaining
from layerstore.actors.runtime.base import Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, LayerStoreError
from layerstore.drivers.model.ids import chain_of, new_id, new_transaction


class Registration(Struct, kw_only=True):
    """A Register between its first message and its answer."""

    reference: int
    parent: LayerEntry | None
    descriptor: str | None
    promise: Promise
    cache_id: str = field(default_factory=new_id)
    transaction: str = field(default_factory=new_transaction)
    abandoned: bool = False
    applying: int | None = None
    """The token of the job that unpacks, while it does."""

    def apply(
        self, source: work.TarSource, *, created: bool = False, gated: bool = False
    ) -> work.ApplyLayer:
        """Return the job that unpacks."""
        return work.ApplyLayer(
            transaction=self.transaction,
            cache_id=self.cache_id,
            parent_cache_id=self.parent.cache_id if self.parent else None,
            parent=self.parent.chain_id if self.parent else None,
            descriptor=self.descriptor,
            source=source,
            created=created,
            gated=gated,
        )


class Registering(Retaining):
    """Has tars unpacked, and the layers committed that come of them."""

    def __init__(
        self, identity: Identity, pool: Ref, lane: Lane, reaper: Ref, books: LayerBooks
    ) -> None:
        super().__init__(identity, pool, lane, reaper, books)
        self.registrations: dict[int, Registration] = {}
        """By reference."""

    def register(self, message: m.Register) -> Promise:
        """Begin to make a layer on a parent that is ready."""
        parent = self.books.find_parent(message.parent)
        registration = Registration(
            reference=message.reference,
            parent=parent,
            descriptor=message.descriptor,
            promise=self.promise(),
        )
        self.enter(registration)
        applied = partial(self._applied, registration)
        job = registration.apply(message.source)
        registration.applying = self.submit(job, applied, message.descriptors)
        return registration.promise

    def enter(self, registration: Registration) -> None:
        """Take note of what is being registered, whose parent stays meanwhile."""
        self.registrations[registration.reference] = registration
        self.books.begin(registration.cache_id)
        if registration.parent is not None:
            registration.parent.users += 1

    def _applied(self, registration: Registration, done: m.Done) -> None:
        registration.applying = None
        if done.error is not None:
            self.end_registration(registration, done.error)
            return
        self._settle(registration, done.outcome(work.AppliedLayer))

    def _settle(self, registration: Registration, applied: work.AppliedLayer) -> None:
        if registration.abandoned:
            self.discard(registration, JobCancelled("the registration"))
            return
        parent = registration.parent
        chain = chain_of(parent.chain_id if parent else None, applied.diff_id)
        there = self.books.find_any(chain)
        if there is None:
            entry = self.books.open_entry(
                parent,
                chain,
                applied.diff_id,
                registration.cache_id,
                applied.size,
                registration.descriptor,
            )
            entry.created = entry.filled = True
            job = work.CommitLayer(transaction=registration.transaction, chain_id=chain)
            self.submit(job, partial(self._committed, registration, entry))
        elif there.state is LayerState.READY:
            self.hold(there, registration.reference)
            self.discard(registration, there)
        else:
            there.waiting.append(partial(self._settle, registration, applied))

    def _committed(self, registration: Registration, entry: LayerEntry, done: m.Done) -> None:
        if done.error is not None:
            self.books.fail(entry)
            self.discard(registration, done.error)
        else:
            self.is_there(registration, entry)

    def is_there(self, registration: Registration, entry: LayerEntry) -> None:
        """Answer whoever has registered a layer that is committed now."""
        entry.state = LayerState.READY
        self.books.hold_new(entry, registration.reference)
        self.end_registration(registration, entry)
        entry.wake()

    def discard(self, registration: Registration, outcome: LayerEntry | LayerStoreError) -> int:
        """Throw away what was made, then end with an outcome; returns the token of the job."""
        job = work.DiscardLayer(
            transaction=registration.transaction, cache_id=registration.cache_id
        )

        def discarded(_done: m.Done) -> None:
            # A copy that can't be thrown away now is an orphan that the next open reaps.
            self.end_registration(registration, outcome)

        return self.submit(job, discarded)

    def end_registration(
        self, registration: Registration, outcome: LayerEntry | LayerStoreError
    ) -> None:
        """Answer with the layer or an error, and let the parent go."""
        self.send(self._reaper, m.Sweep())
        del self.registrations[registration.reference]
        self.books.end(registration.cache_id)
        if registration.parent is not None:
            self.unuse(registration.parent)
        if isinstance(outcome, LayerStoreError):
            self.reject(registration.promise, outcome)
            return
        self.fulfil(registration.promise, outcome.metadata())
        if registration.abandoned:
            self.give_up(outcome, registration.reference)
