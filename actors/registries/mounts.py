"""The MountRegistry: the actor that owns the named read-write layers.

It decides on its books, sends the work that follows to the driver pool and answers when that is
done. A name is taken from the first message on; what is being made or removed is a state of its
entry, never a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct, field

from layerstore.actors import messages as m
from layerstore.actors.books.id_ranges import IdRanges
from layerstore.actors.books.mount_entry import MountEntry, MountState
from layerstore.actors.books.mounts import MountBooks
from layerstore.actors.books.retained import MountsRetained
from layerstore.actors.registries.creating import Creating
from layerstore.actors.runtime.base import Promise, log
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import (
    LayerNotRetained,
    LayerStoreError,
)
from layerstore.drivers.model.ids import ChainID, new_transaction
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.stored import StoredMount
from layerstore.drivers.userns.ranges import IdPool

_MANY_REMOVED = 32
"""Removals after which the trash is emptied though others are under way."""


class _Removal(Struct, kw_only=True):
    """The removal of a read-write layer whose last reference was given back."""

    entry: MountEntry
    reference: int | None
    """None where nobody is there to try again."""
    promise: Promise
    transaction: str = field(default_factory=new_transaction)
    undoes: bool = False
    """The layer was made for a caller that gave up, so its parent is left as it was."""


class MountRegistry(Creating):
    """Owns name -> read-write layer, who holds it and how often it is mounted."""

    def __init__(
        self,
        identity: Identity,
        *,
        stored: Iterable[StoredMount],
        cache_ids: Mapping[ChainID, str],
        origins: Mapping[str, ImageID],
        strays: Iterable[str],
        retained: MountsRetained,
        id_pool: IdPool,
        layers: Ref,
        pool: Ref,
        lane: Lane,
        reaper: Ref,
    ) -> None:
        """Fill the books; `strays` are IDs of mounts that nobody knows to have.

        `id_pool` is what user IDs of layers' own are handed out of.
        """
        books = MountBooks(stored, cache_ids, origins, retained, IdRanges(id_pool))
        super().__init__(identity, books, layers=layers, pool=pool, lane=lane, reaper=reaper)
        self._strays = frozenset(strays)
        self._removals: dict[str, _Removal] = {}
        """By transaction, those that are under way on the disk."""
        self._unswept = 0

    def on_start(self) -> None:
        """Unmount what the actor before this one was just mounting or unmounting when it died."""
        super().on_start()
        for entry in self.books.all():
            if entry.mount_id in self._strays:
                entry.when_free(partial(self.take_down_stray, entry))
        self.end_turn()

    def told(self, message: m.Message) -> None:
        """Go on with what was begun."""
        match message:
            case m.Done():
                self.proceed(message)
            case m.Abandon():
                self._abandon(message.reference, stays=message.stays)
            case _:
                super().told(message)

    def asked(self, message: m.Message) -> object:
        """Decide on a request."""
        match message:
            case m.UnmountAll():
                return self.unmount_all()
            case m.CloseBooks():
                return self.close_books()
        self.refuse_if_closed()
        match message:
            case m.CreateRWLayer():
                return self.create(message)
            case m.ForkRWLayer():
                return self.fork(message)
            case m.ResetRWLayer():
                return self.reset(message)
            case m.GetRWLayer():
                return self._get(message)
            case m.ReleaseRWLayer():
                return self._release(message.name, message.reference)
            case m.NoteOrigin():
                self.books.note_origin(message.name, message.reference, message.image_id)
                return None
            case m.Mount():
                return self.mount(message)
            case m.Unmount():
                return self.unmount(message)
            case m.WorkOnMount():
                return self.work(message)
        return self._looked_up(message)

    def _looked_up(self, message: m.Message) -> object:
        match message:
            case m.GetMountID():
                return self.books.find(message.name).mount_id
            case m.FindMount():
                return self.books.find_beginning(message.start).metadata()
            case m.CountEntries():
                return self.books.count()
            case m.ListMounts():
                return [entry.metadata() for entry in self.books.all()]
            case m.CountUsage():
                return self._count_usage()
            case m.MountsOf():
                return self.books.made_from(message.image_id, message.on_layer)
            case m.Underway():
                return self._underway()
        return super().asked(message)

    def _underway(self) -> m.Standing:
        busy = {creation.transaction for creation in self.creations.values()}
        busy |= self._removals.keys() | self.spares
        ready: set[str] = set()
        for entry in self.books.all():
            names = ready if entry.state is MountState.READY else busy
            names |= {entry.name, entry.mount_id, entry.init_id or entry.mount_id}
        return m.Standing(busy=frozenset(busy), ready=frozenset(ready))

    # Giving up

    def _abandon(self, reference: int, *, stays: bool) -> None:
        """Undo what a caller asked for who is gone, and so can't try again."""
        creation = self.creations.get(reference)
        entry = self.books.holding(reference)
        if creation is not None:
            creation.abandoned = True
            if creation.making is not None:
                self.cancel(creation.making)
        elif not self.abandon_work(reference) and entry is not None:
            self.books.drop(entry, reference)
            made = entry.made_by == reference and not stays
            if not entry.references and (entry.forsaken or made):
                self.undo(entry)

    def undo(self, entry: MountEntry) -> None:
        """Remove a layer that nobody holds; if nobody has given it up, as if it had never been."""
        entry.state = MountState.REMOVING
        removal = _Removal(
            entry=entry, reference=None, promise=self.promise(), undoes=not entry.forsaken
        )
        entry.when_unused(partial(self._begin_removal, removal))

    # Holding and removing

    def _get(self, message: m.GetRWLayer) -> m.MountMetadata:
        entry = self.books.find(message.name)
        self.books.hold(entry, message.reference)
        return entry.metadata()

    def _release(self, name: str, reference: int) -> Promise | list[m.LayerMetadata]:
        entry = self.books.find_any(name)
        if entry is None:
            return []
        if reference not in entry.references:
            raise LayerNotRetained(name)
        entry.references.discard(reference)
        entry.forsaken = True
        if entry.references:
            self.books.drop(entry, reference)
            return []
        promise = self.promise()
        removal = _Removal(entry=entry, reference=reference, promise=promise)
        entry.state = MountState.REMOVING
        entry.when_unused(partial(self._begin_removal, removal))
        return promise

    def _begin_removal(self, removal: _Removal) -> None:
        entry = removal.entry
        entry.busy = True
        if entry.mount_count:
            self.take_down(entry, partial(self._taken_down, removal))
        else:
            self._remove(removal)

    def _taken_down(self, removal: _Removal, done: m.Done) -> None:
        if done.error is not None:
            self._undo_removal(removal, done.error)
        else:
            self._remove(removal)

    def _remove(self, removal: _Removal) -> None:
        entry = removal.entry
        self._removals[removal.transaction] = removal
        job = work.RemoveMount(
            name=entry.name,
            mount_id=entry.mount_id,
            init_id=entry.init_id,
            transaction=removal.transaction,
        )
        self.submit(job, partial(self._removed, removal))

    def _removed(self, removal: _Removal, done: m.Done) -> None:
        entry = removal.entry
        del self._removals[removal.transaction]
        if done.error is None:
            self._unswept += 1
        self._have_swept()
        if done.error is not None:
            self._undo_removal(removal, done.error)
            return
        self.books.strike(entry)
        if removal.reference is not None:
            self.books.drop(entry, removal.reference)
        entry.free()  # whoever came in the meantime finds it gone
        if entry.parent is None:
            self.fulfil(removal.promise, [])
        else:
            dropped = partial(self.settle, removal.promise)
            self.drop_parent(entry.parent, dropped, failed=removal.undoes)

    def _have_swept(self) -> None:
        """Have the trash emptied once nobody waits for a removal, or it holds many."""
        if self._unswept >= (_MANY_REMOVED if self._removals else 1):
            self._unswept = 0
            self.send(self.reaper, m.Sweep())

    def _undo_removal(self, removal: _Removal, error: LayerStoreError) -> None:
        entry = removal.entry
        entry.state = MountState.READY
        if removal.reference is not None:
            self.books.hold(entry, removal.reference)
        else:
            log.warning("mount %s could not be removed: %s", entry.name, error)
        self.reject(removal.promise, error)
        entry.free()

    # Measuring

    def _count_usage(self) -> Promise:
        names = {
            entry.mount_id: entry.name
            for entry in self.books.all()
            if entry.state is MountState.READY
        }
        promise = self.promise()

        def counted(done: m.Done) -> None:
            if done.error is not None:
                self.reject(promise, done.error)
                return
            found = done.outcome(dict)
            self.fulfil(promise, {names[mount_id]: found[mount_id] for mount_id in found})

        self.submit(work.CountUsage(mount_ids=tuple(names)), counted)
        return promise
