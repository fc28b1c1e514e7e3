"""Making read-write layers: the part of the MountRegistry from a new name to its answer.

Owns what is between CreateRWLayer or ForkRWLayer and its answer: the parent is retained, the layer
made, and all of it undone where a step fails or the caller gives up. A fork's source stays
meanwhile.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial

from msgspec import Struct, field

from layerstore.actors import messages as m
from layerstore.actors.books.mount_entry import MountEntry, MountState
from layerstore.actors.books.mounts import MountBooks
from layerstore.actors.registries.working import Working
from layerstore.actors.runtime.base import Continuation, Promise, log
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, LayerStoreError
from layerstore.drivers.model.ids import ChainID, check_mount_name, new_id, new_transaction
from layerstore.drivers.userns.id_map import IdMap


class Creation(Struct, kw_only=True):
    """A read-write layer between the first message and its answer."""

    reference: int
    entry: MountEntry
    source: MountEntry | None = None
    """Of what it is a fork."""
    promise: Promise
    transaction: str = field(default_factory=new_transaction)
    abandoned: bool = False
    making: int | None = None
    """The token of the job that makes it, until it has."""


class Creating(Working):
    """Makes read-write layers."""

    def __init__(
        self,
        identity: Identity,
        books: MountBooks,
        *,
        layers: Ref,
        pool: Ref,
        lane: Lane,
        reaper: Ref,
    ) -> None:
        super().__init__(identity, books, pool=pool, lane=lane, reaper=reaper)
        self._layers = layers
        self.creations: dict[int, Creation] = {}
        """By reference, those that are under way."""

    def create(self, message: m.CreateRWLayer) -> Promise:
        """Promise the facts of a new read-write layer; its name is taken from now on."""
        mount_id = new_id()
        storage_opt, id_map = self._with_ids(message)
        entry = self.books.reserve(
            check_mount_name(message.name),
            mount_id,
            f"{mount_id}-init" if message.init is not None else None,
            message.parent,
            id_map,
        )
        creation = self._begin(message.reference, entry)
        job = work.CreateMount(
            name=entry.name,
            mount_id=mount_id,
            init_id=entry.init_id,
            parent=message.parent,
            parent_cache_id=None,
            mount_label=message.mount_label,
            storage_opt=storage_opt,
            init=message.init,
            transaction=creation.transaction,
        )
        self._make(creation, job)
        return creation.promise

    def fork(self, message: m.ForkRWLayer) -> Promise:
        """Promise the facts of a new read-write layer with what another has."""
        source = self.books.find_held(message.source, message.source_reference)
        mount_id = new_id()
        entry = self.books.reserve(
            check_mount_name(message.name),
            mount_id,
            f"{mount_id}-init" if source.init_id is not None else None,
            source.parent,
            self.books.id_ranges.anew(source.id_map),
        )
        creation = self._begin(message.reference, entry)
        creation.source = source
        source.read(partial(self._begin_fork, creation, source))
        return creation.promise

    def _begin_fork(self, creation: Creation, source: MountEntry) -> None:
        entry = creation.entry
        if creation.abandoned:
            self._end_creation(creation, JobCancelled(f"the fork {entry.name}"))
            return
        job = work.ForkMount(
            name=entry.name,
            mount_id=entry.mount_id,
            init_id=entry.init_id,
            source_id=source.mount_id,
            source_init_id=source.init_id,
            id_map=entry.id_map,
            parent=entry.parent,
            parent_cache_id=None,
            transaction=creation.transaction,
        )
        self._make(creation, job)

    def _begin(self, reference: int, entry: MountEntry) -> Creation:
        creation = Creation(reference=reference, entry=entry, promise=self.promise())
        self.creations[reference] = creation
        self.books.begin(entry.mount_id)
        return creation

    def _make(self, creation: Creation, job: work.CreateMount | work.ForkMount) -> None:
        made = partial(self._made, creation)
        if job.parent is None:
            creation.making = self.submit(job, made)
        else:
            # The parent's registry sends the job on: it doesn't come back before it is done.
            creation.making = self.expect(made)
            self.send(
                self._layers,
                m.RetainLayer(
                    chain_id=job.parent, token=creation.making, reply_to=self.ref, job=job
                ),
            )

    def _with_ids(self, message: m.CreateRWLayer) -> tuple[Mapping[str, str], str]:
        """Return the options, with the map of user IDs that is meant by what is asked for."""
        asked = message.storage_opt.get(work.USERNS)
        if asked is None:
            return message.storage_opt, ""
        id_map = self.books.id_ranges.resolve(asked)
        if any(first == 0 for first, _ in IdMap.parse(id_map).outside):
            root = "in mount %s root of this machine is a user: its map of IDs is %s"
            log.warning(root, message.name, id_map)
        return {**message.storage_opt, work.USERNS: id_map}, id_map

    def _made(self, creation: Creation, done: m.Done) -> None:
        creation.making = None
        entry, error = creation.entry, done.error
        retained = done.along if isinstance(done.along, m.LayerMetadata) else None
        if retained is not None:
            entry.parent_cache_id = retained.cache_id
        if error is None:
            self._end_creation(creation, None)
            return
        if retained is not None or entry.parent is None:
            self.send(self.reaper, m.Sweep())
        if retained is None:
            self._end_creation(creation, error)
            return
        self.drop_parent(
            retained.chain_id, lambda _: self._end_creation(creation, error), failed=True
        )

    def _end_creation(self, creation: Creation, error: LayerStoreError | None) -> None:
        entry, reference, source = creation.entry, creation.reference, creation.source
        del self.creations[reference]
        if error is not None:
            self.books.strike(entry)
            self.reject(creation.promise, error)
        elif creation.abandoned:
            self.undo(entry)
            self.reject(creation.promise, JobCancelled(f"the creation of mount {entry.name}"))
        else:
            entry.state = MountState.READY
            self.books.hold_new(entry, reference)
            self.books.end(entry.mount_id)
            if source is not None and source.image is not None:
                self.books.note_origin(entry.name, reference, source.image)
            self.fulfil(creation.promise, entry.metadata())
        if source is not None:
            source.was_read()

    @abstractmethod
    def undo(self, entry: MountEntry) -> None:
        """Remove a layer that was made for a caller who has given up."""

    def drop_parent(self, parent: ChainID, then: Continuation, *, failed: bool) -> None:
        """Give a parent back; `failed` says that nothing was ever made on it."""
        token = self.expect(then)
        self.send(
            self._layers,
            m.DropLayer(chain_id=parent, token=token, failed=failed, reply_to=self.ref),
        )
