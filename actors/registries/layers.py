"""The LayerRegistry: the actor that owns the read-only layers.

It decides on its books, sends the work that follows to the driver pool and answers when that is
done. What is being registered or removed is a state of its entry, never a lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from msgspec import Struct, field

from layerstore.actors import messages as m
from layerstore.actors.books.layers import LayerBooks, LayerEntry, LayerState
from layerstore.actors.books.retained import LayersRetained
from layerstore.actors.registries.retaining import Retaining
from layerstore.actors.runtime.base import Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.drivers import work
from layerstore.drivers.errors import (
    JobCancelled,
    LayerDoesNotExist,
    LayerStoreError,
)
from layerstore.drivers.model.ids import ChainID, chain_of, new_id, new_transaction
from layerstore.drivers.model.stored import StoredLayer
from layerstore.drivers.model.tree import TarStyle
from layerstore.drivers.work import VerifyLayer


class _Registration(Struct, kw_only=True):
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


class LayerRegistry(Retaining):
    """Owns chain ID -> layer, and who retains it."""

    def __init__(
        self,
        identity: Identity,
        *,
        stored: Iterable[StoredLayer],
        kept: Iterable[ChainID],
        retained: LayersRetained,
        pool: Ref,
        reaper: Ref,
    ) -> None:
        super().__init__(identity, pool, reaper, LayerBooks(stored, kept, retained))
        self._registrations: dict[int, _Registration] = {}

    def on_start(self) -> None:
        """Remove what was to go when the actor before this one died."""
        super().on_start()
        for entry in self.books.forsaken():
            self.remove(entry, [], self.log_removal)

    def told(self, message: m.Message) -> None:
        """Go on with what was begun."""
        match message:
            case m.Done():
                self.proceed(message)
            case m.RetainLayer():
                self.retain_for_mount(message)
            case m.DropLayer():
                self.drop_for_mount(message)
            case m.Abandon():
                self._abandon(message.reference, stays=message.stays)
            case _:
                super().told(message)

    def asked(self, message: m.Message) -> object:
        """Decide on a request."""
        if isinstance(message, m.CloseBooks):
            self.finish_removals()
            return self.close_books()
        self.refuse_if_closed()
        match message:
            case m.Register():
                return self._register(message)
            case m.GetLayer():
                return self.get(message)
            case m.ReleaseLayer():
                return self.release(message.chain_id, message.reference)
            case m.MapLayers():
                return {entry.chain_id: entry.metadata() for entry in self.books.ready()}
            case m.ReadLayer():
                return self._read(message)
            case m.InspectLayer():
                return self._inspect(message)
            case m.CheckLayer():
                return self._check(message)
            case m.CheckDisk():
                promise = self.promise()
                self.submit(message.job, partial(self.settle, promise))
                return promise
            case m.Underway():
                return self._underway()
        return super().asked(message)

    # Registering

    def _register(self, message: m.Register) -> Promise:
        parent = self.books.find_parent(message.parent)
        registration = _Registration(
            reference=message.reference,
            parent=parent,
            descriptor=message.descriptor,
            promise=self.promise(),
        )
        self._registrations[message.reference] = registration
        self.books.begin(registration.cache_id)
        if parent is not None:
            parent.users += 1
        job = work.ApplyLayer(
            transaction=registration.transaction,
            cache_id=registration.cache_id,
            parent_cache_id=parent.cache_id if parent else None,
            parent=parent.chain_id if parent else None,
            descriptor=message.descriptor,
            source=message.source,
        )
        applied = partial(self._applied, registration)
        registration.applying = self.submit(job, applied, message.descriptors)
        return registration.promise

    def _applied(self, registration: _Registration, done: m.Done) -> None:
        registration.applying = None
        if done.error is not None:
            self._end_registration(registration, done.error)
            return
        self._settle(registration, done.outcome(work.AppliedLayer))

    def _settle(self, registration: _Registration, applied: work.AppliedLayer) -> None:
        if registration.abandoned:
            self._discard(registration, JobCancelled("the registration"))
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
            job = work.CommitLayer(transaction=registration.transaction, chain_id=chain)
            self.submit(job, partial(self._committed, registration, entry))
        elif there.state is LayerState.READY:
            self.books.hold(there, registration.reference)
            self._discard(registration, there)
        else:
            there.waiting.append(partial(self._settle, registration, applied))

    def _committed(self, registration: _Registration, entry: LayerEntry, done: m.Done) -> None:
        if done.error is not None:
            self.books.close_entry(entry)
            self._discard(registration, done.error)
        else:
            entry.state = LayerState.READY
            self.books.hold_new(entry, registration.reference)
            self._end_registration(registration, entry)
        entry.wake()

    def _discard(self, registration: _Registration, outcome: LayerEntry | LayerStoreError) -> None:
        job = work.DiscardLayer(
            transaction=registration.transaction, cache_id=registration.cache_id
        )

        def discarded(_done: m.Done) -> None:
            # A copy that can't be thrown away now is an orphan that the next open reaps.
            self._end_registration(registration, outcome)

        self.submit(job, discarded)

    def _end_registration(
        self, registration: _Registration, outcome: LayerEntry | LayerStoreError
    ) -> None:
        self.send(self._reaper, m.Sweep())
        del self._registrations[registration.reference]
        self.books.end(registration.cache_id)
        if registration.parent is not None:
            self.unuse(registration.parent)
        if isinstance(outcome, LayerStoreError):
            self.reject(registration.promise, outcome)
            return
        self.fulfil(registration.promise, outcome.metadata())
        if registration.abandoned:
            self._give_up(outcome, registration.reference)

    def _abandon(self, reference: int, *, stays: bool) -> None:
        registration = self._registrations.get(reference)
        if registration is not None:
            registration.abandoned = True
            if registration.applying is not None:
                cancel = m.Cancel(token=registration.applying, reply_to=self.ref)
                self.send(self._pool, cancel)
            return
        entry = self.books.holding(reference)
        if entry is not None:
            self._give_up(entry, reference, stays=stays)

    def _give_up(self, entry: LayerEntry, reference: int, *, stays: bool = False) -> None:
        """Strike out a caller's reference who is gone; what it has made goes too, or `stays`."""
        self.books.undo(entry, reference, stays=stays)
        if entry.forsaken and not entry.references and entry.state is LayerState.READY:
            self.remove(entry, [], self.log_removal)

    # Reading

    def _read(self, message: m.ReadLayer) -> Promise:
        entry = self.books.find_held(message.chain_id, message.reference)
        job: work.Job
        if message.whole:
            job = work.StreamDifference(
                layer_id=entry.cache_id, parent_id=None, style=TarStyle(message.sparse)
            )
        elif message.against is None:
            job = work.StreamLayer(
                chain_id=entry.chain_id, cache_id=entry.cache_id, diff_id=entry.diff_id
            )
        else:
            ancestor = next((e for e in entry.ancestors() if e.chain_id == message.against), None)
            if ancestor is None:
                raise LayerDoesNotExist(f"{message.against} (as an ancestor of {entry.chain_id})")
            job = work.StreamDifference(
                layer_id=entry.cache_id, parent_id=ancestor.cache_id, style=TarStyle(message.sparse)
            )
        return self._use(entry, job, message.descriptors)

    def _inspect(self, message: m.InspectLayer) -> Promise:
        entry = self.books.find_held(message.chain_id, message.reference)
        return self._use(entry, work.DriverMetadata(layer_id=entry.cache_id))

    def _check(self, message: m.CheckLayer) -> Promise:
        entry = self.books.find(message.chain_id)
        job = VerifyLayer(
            chain_id=entry.chain_id,
            cache_id=entry.cache_id,
            diff_id=entry.diff_id,
            size=entry.diff_size,
        )
        return self._use(entry, job)

    def _underway(self) -> m.Standing:
        busy = {name for r in self._registrations.values() for name in (r.transaction, r.cache_id)}
        for entry in self.books.changing():
            busy |= {entry.chain_id, entry.cache_id}
        ready = {name for e in self.books.ready() for name in (e.chain_id, e.cache_id)}
        return m.Standing(busy=frozenset(busy), ready=frozenset(ready))

    def _use(self, entry: LayerEntry, job: work.Job, descriptors: work.Descriptors = ()) -> Promise:
        promise = self.promise()
        entry.users += 1

        def used(done: m.Done) -> None:
            self.unuse(entry)
            self.settle(promise, done)

        self.submit(job, used, descriptors)
        return promise
