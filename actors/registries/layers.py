"""The LayerRegistry: the actor that owns the read-only layers.

It decides on its books, sends the work that follows to the driver pool and answers when that is
done. What is being registered or removed is a state of its entry, never a lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from layerstore.actors import messages as m
from layerstore.actors.books.layer_entry import LayerEntry
from layerstore.actors.books.layers import LayerBooks
from layerstore.actors.books.retained import LayersRetained
from layerstore.actors.registries.chaining import Ahead, Chaining
from layerstore.actors.runtime.base import Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import (
    LayerDoesNotExist,
)
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.stored import StoredLayer
from layerstore.drivers.model.tree import TarStyle
from layerstore.drivers.work import VerifyLayer


class LayerRegistry(Chaining):
    """Owns chain ID -> layer, and who retains it."""

    def __init__(
        self,
        identity: Identity,
        *,
        stored: Iterable[StoredLayer],
        kept: Iterable[ChainID],
        retained: LayersRetained,
        max_layers: int,
        pool: Ref,
        lane: Lane,
        reaper: Ref,
    ) -> None:
        super().__init__(
            identity, pool, lane, reaper, LayerBooks(stored, kept, retained, max_layers)
        )

    def on_start(self) -> None:
        """Remove what was to go when the actor before this one died."""
        super().on_start()
        for entry in self.books.forsaken():
            self.remove(entry, [], self.log_removal)
        self.end_turn()

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
            self.finish_removals(aside=True)
            return self.close_books()
        self.refuse_if_closed()
        match message:  # what is asked most comes first
            case m.GetLayer():
                if self.is_asked:
                    return self.get(message)
                self.get_unheard(message)
                return None
            case m.ReleaseLayer():
                if self.is_asked:
                    return self.release(message.chain_id, message.reference, keep=message.keep)
                self.release_unheard(message.chain_id, message.reference)
                return []
            case m.Register():
                return self.register_ahead(message) if message.ahead else self.register(message)
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
        return self._looked_up(message)

    def _looked_up(self, message: m.Message) -> object:
        match message:
            case m.FindLayer():
                return self.books.find_beginning(message.start).metadata()
            case m.FindTwin():
                twin = self.books.find_twin(message.diff_id)
                return twin.chain_id if twin is not None else None
            case m.CountEntries():
                return self.books.count()
            case m.MapLayers():
                return {entry.chain_id: entry.metadata() for entry in self.books.ready()}
            case m.Underway():
                return self._underway()
        return super().asked(message)

    def _abandon(self, reference: int, *, stays: bool) -> None:
        registration = self.registrations.get(reference)
        if isinstance(registration, Ahead):
            self.abandon_ahead(registration)
            return
        if registration is not None:
            registration.abandoned = True
            if registration.applying is not None:
                self.cancel(registration.applying)
            return
        entry = self.books.holding(reference)
        if entry is not None:
            self.give_up(entry, reference, stays=stays)

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
        busy = {name for r in self.registrations.values() for name in (r.transaction, r.cache_id)}
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
