"""Making read-write layers: the part of the MountRegistry from a new name to its answer.

Owns what is between CreateRWLayer and its answer: the parent is retained, the layer made, and
all of it undone where a step fails or the caller gives up.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

from msgspec import Struct, field

from layerstore.actors import messages as m
from layerstore.actors.books.mounts import MountBooks, MountEntry, MountState
from layerstore.actors.registries.mounting import Mounting
from layerstore.actors.runtime.base import Continuation, Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, LayerStoreError
from layerstore.drivers.model.ids import ChainID, check_mount_name, new_id, new_transaction


class Creation(Struct, kw_only=True):
    """A CreateRWLayer between its first message and its answer."""

    message: m.CreateRWLayer
    entry: MountEntry
    promise: Promise
    transaction: str = field(default_factory=new_transaction)
    abandoned: bool = False
    making: int | None = None
    """The token of the job that makes it, while it does."""


class Creating(Mounting):
    """Makes read-write layers."""

    def __init__(
        self, identity: Identity, books: MountBooks, *, layers: Ref, pool: Ref, reaper: Ref
    ) -> None:
        super().__init__(identity, pool, books)
        self._layers = layers
        self._reaper = reaper
        self.creations: dict[int, Creation] = {}
        """By reference, those that are under way."""

    def create(self, message: m.CreateRWLayer) -> Promise:
        """Promise the facts of a new read-write layer; its name is taken from now on."""
        mount_id = new_id()
        entry = self.books.reserve(
            check_mount_name(message.name),
            mount_id,
            f"{mount_id}-init" if message.init is not None else None,
            message.parent,
        )
        creation = Creation(message=message, entry=entry, promise=self.promise())
        self.creations[message.reference] = creation
        self.books.begin(mount_id)
        if message.parent is None:
            self._make(creation)
        else:
            token = self.expect(partial(self._parent_retained, creation))
            self.send(
                self._layers,
                m.RetainLayer(chain_id=message.parent, token=token, reply_to=self.ref),
            )
        return creation.promise

    def _parent_retained(self, creation: Creation, done: m.Done) -> None:
        if done.error is not None:
            self._end_creation(creation, done.error)
            return
        creation.entry.parent_cache_id = done.outcome(m.LayerMetadata).cache_id
        self._make(creation)

    def _make(self, creation: Creation) -> None:
        entry, message = creation.entry, creation.message
        job = work.CreateMount(
            name=entry.name,
            mount_id=entry.mount_id,
            init_id=entry.init_id,
            parent=entry.parent,
            parent_cache_id=entry.parent_cache_id,
            mount_label=message.mount_label,
            storage_opt=message.storage_opt,
            init=message.init,
            transaction=creation.transaction,
        )
        creation.making = self.submit(job, partial(self._made, creation))
        if creation.abandoned:
            self.cancel(creation.making)

    def _made(self, creation: Creation, done: m.Done) -> None:
        creation.making = None
        entry = creation.entry
        if done.error is None:
            self._end_creation(creation, None)
            return
        self.send(self._reaper, m.Sweep())
        if entry.parent is None:
            self._end_creation(creation, done.error)
            return
        error = done.error
        self.drop_parent(entry.parent, lambda _: self._end_creation(creation, error), failed=True)

    def _end_creation(self, creation: Creation, error: LayerStoreError | None) -> None:
        entry, reference = creation.entry, creation.message.reference
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
            self.fulfil(creation.promise, entry.metadata())

    @abstractmethod
    def undo(self, entry: MountEntry) -> None:
        """Remove a layer that was made for a caller who has given up."""

    def cancel(self, token: int) -> None:
        """Have a job end that nobody waits for."""
        self.send(self._pool, m.Cancel(token=token, reply_to=self.ref))

    def drop_parent(self, parent: ChainID, then: Continuation, *, failed: bool) -> None:
        """Give a parent back; `failed` says that nothing was ever made on it."""
        token = self.expect(then)
        self.send(
            self._layers,
            m.DropLayer(chain_id=parent, token=token, failed=failed, reply_to=self.ref),
        )
