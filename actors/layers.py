"""The LayerRegistry: the actor that owns the read-only layers.

It decides on its books, sends the work that follows to the driver pool and answers when that is
done. What is being registered or removed is a state of its entry, never a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from layerstore.actors import check_messages as cm
from layerstore.actors import messages as m
from layerstore.actors.base import BookKeeper, Continuation, Identity, Promise, Ref, log
from layerstore.actors.layer_books import LayerBooks, LayerEntry, LayerState
from layerstore.actors.retained import LayersRetained
from layerstore.drivers import work
from layerstore.drivers.check_work import VerifyLayer
from layerstore.drivers.errors import (
    JobCancelled,
    LayerDoesNotExist,
    LayerNotRetained,
    LayerStoreError,
)
from layerstore.drivers.ids import ChainID, chain_of, new_id, new_transaction
from layerstore.drivers.stored import StoredLayer


@dataclass(slots=True, kw_only=True)
class _Registration:
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


Removed = list[m.LayerMetadata]


class LayerRegistry(BookKeeper):
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
        super().__init__(identity)
        self._books = LayerBooks(stored, kept, retained)
        self._pool = pool
        self._reaper = reaper
        self._registrations: dict[int, _Registration] = {}
        self._stuck: list[LayerEntry] = []
        """What nothing keeps any more, but could not be removed."""

    def on_start(self) -> None:
        """Remove what was to go when the actor before this one died."""
        super().on_start()
        for entry in self._books.forsaken():
            self._remove(entry, [], self._log_removal)

    def told(self, message: m.Message) -> None:
        """Go on with what was begun."""
        match message:
            case m.Done():
                self.proceed(message)
            case m.RetainLayer():
                self._retain_for_mount(message)
            case m.DropLayer():
                self._drop_for_mount(message)
            case m.Abandon():
                self._abandon(message.reference)
            case _:
                super().told(message)

    def asked(self, message: m.Message) -> object:
        """Decide on a request."""
        if isinstance(message, m.CloseBooks):
            self._finish_removals()
            return self.close_books()
        self.refuse_if_closed()
        match message:
            case m.Register():
                return self._register(message)
            case m.GetLayer():
                return self._get(message)
            case m.ReleaseLayer():
                return self._release(message.chain_id, message.reference)
            case m.MapLayers():
                return {entry.chain_id: entry.metadata() for entry in self._books.ready()}
            case m.ReadLayer():
                return self._read(message)
            case m.InspectLayer():
                return self._inspect(message)
            case cm.CheckLayer():
                return self._check(message)
            case cm.CheckDisk():
                promise = self.promise()
                self._submit(message.job, partial(self.settle, promise))
                return promise
            case cm.Underway():
                return self._underway()
        return super().asked(message)

    def _submit(self, job: work.Job, then: Continuation, descriptors: work.Descriptors = ()) -> int:
        token = self.expect(then)
        self.send(
            self._pool, m.Submit(token=token, job=job, descriptors=descriptors, reply_to=self.ref)
        )
        return token

    # Registering

    def _register(self, message: m.Register) -> Promise:
        parent = self._books.find_parent(message.parent)
        registration = _Registration(
            reference=message.reference,
            parent=parent,
            descriptor=message.descriptor,
            promise=self.promise(),
        )
        self._registrations[message.reference] = registration
        self._books.begin(registration.cache_id)
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
        registration.applying = self._submit(job, applied, message.descriptors)
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
        there = self._books.find_any(chain)
        if there is None:
            entry = self._books.open_entry(
                parent,
                chain,
                applied.diff_id,
                registration.cache_id,
                applied.size,
                registration.descriptor,
            )
            job = work.CommitLayer(transaction=registration.transaction, chain_id=chain)
            self._submit(job, partial(self._committed, registration, entry))
        elif there.state is LayerState.READY:
            self._books.hold(there, registration.reference)
            self._discard(registration, there)
        else:
            there.waiting.append(partial(self._settle, registration, applied))

    def _committed(self, registration: _Registration, entry: LayerEntry, done: m.Done) -> None:
        if done.error is not None:
            self._books.close_entry(entry)
            self._discard(registration, done.error)
        else:
            entry.state = LayerState.READY
            self._books.hold_new(entry, registration.reference)
            self._end_registration(registration, entry)
        entry.wake()

    def _discard(self, registration: _Registration, outcome: LayerEntry | LayerStoreError) -> None:
        job = work.DiscardLayer(
            transaction=registration.transaction, cache_id=registration.cache_id
        )

        def discarded(_done: m.Done) -> None:
            # A copy that can't be thrown away now is an orphan that the next open reaps.
            self._end_registration(registration, outcome)

        self._submit(job, discarded)

    def _end_registration(
        self, registration: _Registration, outcome: LayerEntry | LayerStoreError
    ) -> None:
        self.send(self._reaper, m.Sweep())
        del self._registrations[registration.reference]
        self._books.end(registration.cache_id)
        if registration.parent is not None:
            self._unuse(registration.parent)
        if isinstance(outcome, LayerStoreError):
            self.reject(registration.promise, outcome)
            return
        self.fulfil(registration.promise, outcome.metadata())
        if registration.abandoned:
            self._give_up(outcome, registration.reference)

    def _abandon(self, reference: int) -> None:
        registration = self._registrations.get(reference)
        if registration is not None:
            registration.abandoned = True
            if registration.applying is not None:
                cancel = m.Cancel(token=registration.applying, reply_to=self.ref)
                self.send(self._pool, cancel)
            return
        entry = self._books.holding(reference)
        if entry is not None:
            self._give_up(entry, reference)

    def _give_up(self, entry: LayerEntry, reference: int) -> None:
        """Strike out the reference of a caller that is gone; what it has made goes too."""
        self._books.undo(entry, reference)
        if entry.forsaken and not entry.references and entry.state is LayerState.READY:
            self._remove(entry, [], self._log_removal)

    # Retaining and releasing

    def _get(self, message: m.GetLayer) -> m.LayerMetadata:
        entry = self._books.find(message.chain_id)
        self._books.hold(entry, message.reference)
        return entry.metadata()

    def _release(self, chain_id: ChainID, reference: int) -> Removed | Promise:
        entry = self._books.find_any(chain_id)
        if entry is None:
            return self._finish_removals()
        if reference not in entry.held:
            raise LayerNotRetained(chain_id)
        self._books.let_go(entry, reference)
        if entry.references:
            self._books.drop(reference)
            return []
        promise = self.promise()

        def finish(removed: Removed, error: LayerStoreError | None) -> None:
            if error is not None and not removed:
                self._books.hold(entry, reference)
            else:
                self._books.drop(reference)
            if error is None:
                self.fulfil(promise, removed)
            else:
                self.reject(promise, error)

        self._remove(entry, [], finish)
        return promise

    def _remove(
        self,
        entry: LayerEntry,
        removed: Removed,
        finish: Callable[[Removed, LayerStoreError | None], None],
    ) -> None:
        """Remove a layer that nothing keeps, then every parent that nothing else kept."""
        entry.state = LayerState.REMOVING
        job = work.RemoveLayer(chain_id=entry.chain_id, cache_id=entry.cache_id)
        self._submit(job, partial(self._removed, entry, removed, finish))

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
        self._books.close_entry(entry)
        self.send(self._reaper, m.Sweep())
        entry.wake()
        parent = entry.parent
        given_up = parent is not None and (parent.forsaken or not entry.undone)
        if parent is not None and given_up and not parent.references:
            self._remove(parent, removed, finish)
        else:
            finish(removed, None)

    def _finish_removals(self) -> Removed | Promise:
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

        self._remove(left[0], [], finish)
        for entry in left[1:]:
            self._remove(entry, [], self._log_removal)
        return promise

    def _unuse(self, entry: LayerEntry) -> None:
        """End a use in passing; a layer that was given up meanwhile goes now."""
        entry.users -= 1
        if entry.forsaken and not entry.references and entry.state is LayerState.READY:
            self._remove(entry, [], self._log_removal)

    def _log_removal(self, _removed: Removed, error: LayerStoreError | None) -> None:
        if error is not None:
            log.warning("a released layer could not be removed: %s", error)

    def _retain_for_mount(self, message: m.RetainLayer) -> None:
        try:
            entry = self._books.find(message.chain_id)
        except LayerDoesNotExist as error:
            self._answer(message, error=error)
            return
        entry.users += 1
        self._answer(message, entry.metadata())

    def _drop_for_mount(self, message: m.DropLayer) -> None:
        entry = self._books.find(message.chain_id)
        if message.failed:
            self._unuse(entry)
            self._answer(message, [])
            return
        entry.users -= 1
        self._books.forsake(entry)
        if entry.references:
            self._answer(message, [])
            return
        self._remove(entry, [], lambda removed, error: self._answer(message, removed, error=error))

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

    # Reading

    def _read(self, message: m.ReadLayer) -> Promise:
        entry = self._books.find_held(message.chain_id, message.reference)
        job: work.Job
        if message.whole:
            job = work.StreamDifference(layer_id=entry.cache_id, parent_id=None)
        elif message.against is None:
            job = work.StreamLayer(
                chain_id=entry.chain_id, cache_id=entry.cache_id, diff_id=entry.diff_id
            )
        else:
            ancestor = next((e for e in entry.ancestors() if e.chain_id == message.against), None)
            if ancestor is None:
                raise LayerDoesNotExist(f"{message.against} (as an ancestor of {entry.chain_id})")
            job = work.StreamDifference(layer_id=entry.cache_id, parent_id=ancestor.cache_id)
        return self._use(entry, job, message.descriptors)

    def _inspect(self, message: m.InspectLayer) -> Promise:
        entry = self._books.find_held(message.chain_id, message.reference)
        return self._use(entry, work.DriverMetadata(layer_id=entry.cache_id))

    def _check(self, message: cm.CheckLayer) -> Promise:
        entry = self._books.find(message.chain_id)
        job = VerifyLayer(
            chain_id=entry.chain_id,
            cache_id=entry.cache_id,
            diff_id=entry.diff_id,
            size=entry.diff_size,
        )
        return self._use(entry, job)

    def _underway(self) -> set[str]:
        names = {name for r in self._registrations.values() for name in (r.transaction, r.cache_id)}
        for entry in self._books.changing():
            names |= {entry.chain_id, entry.cache_id}
        return names

    def _use(self, entry: LayerEntry, job: work.Job, descriptors: work.Descriptors = ()) -> Promise:
        promise = self.promise()
        entry.users += 1

        def used(done: m.Done) -> None:
            self._unuse(entry)
            self.settle(promise, done)

        self._submit(job, used, descriptors)
        return promise
