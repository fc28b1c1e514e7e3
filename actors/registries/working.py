"""Reading, changing and resetting read-write layers: the MountRegistry's work on their files.

Owns that a reset has a layer for itself: it waits for those who read or write its files, and they
for it, each in its turn.
"""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from layerstore.actors import messages as m
from layerstore.actors.books.mount_entry import MountEntry, MountState
from layerstore.actors.books.mounts import MountBooks
from layerstore.actors.registries.mounting import Mounting
from layerstore.actors.runtime.base import Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled, MountDoesNotExist, StillMounted
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.model.tree import TarStyle


class _Work(Struct, kw_only=True):
    """A WorkOnMount between its first message and its answer."""

    entry: MountEntry
    message: m.WorkOnMount
    promise: Promise
    token: int | None = None
    """Of its job, once that is handed in."""
    abandoned: bool = False


class Working(Mounting):
    """Has workers do things with a layer's files."""

    def __init__(
        self, identity: Identity, books: MountBooks, *, pool: Ref, lane: Lane, reaper: Ref
    ) -> None:
        super().__init__(identity, pool, lane, books)
        self.reaper = reaper
        self._works: dict[int, _Work] = {}
        """By request, those that are under way."""
        self.spares: set[str] = set()
        """IDs that resets make something beneath."""

    def work(self, message: m.WorkOnMount) -> Promise:
        """Promise the outcome of a job on a layer that the caller holds."""
        entry = self.books.find_held(message.name, message.reference)
        begun = _Work(entry=entry, message=message, promise=self.promise())
        self._works[message.request] = begun
        entry.read(partial(self._begin_work, begun))
        return begun.promise

    def _begin_work(self, begun: _Work) -> None:
        entry, message = begun.entry, begun.message
        if begun.abandoned:
            for descriptor in message.descriptors:
                descriptor.close()
            self.reject(begun.promise, JobCancelled(message.summary()))
            self._end_work(begun)
            return
        source = message.source or work.TarSource()
        style = TarStyle(message.sparse, message.skip_whiteout_names)
        job = work.MOUNT_WORK[message.what](entry.mount_id, entry.diff_parent, source, style)
        begun.token = self.submit(job, partial(self._worked, begun), message.descriptors)

    def _worked(self, begun: _Work, done: m.Done) -> None:
        self.settle(begun.promise, done)
        self._end_work(begun)

    def _end_work(self, begun: _Work) -> None:
        del self._works[begun.message.request]
        begun.entry.was_read()

    def abandon_work(self, request: int) -> bool:
        """Have work end that nobody waits for; whether there is any by this number."""
        begun = self._works.get(request)
        if begun is None:
            return False
        begun.abandoned = True
        if begun.token is not None:
            self.cancel(begun.token)
        return True

    def reset(self, message: m.ResetRWLayer) -> Promise:
        """Promise that a layer that the caller holds shows its parent's content again."""
        entry = self.books.find_held(message.name, message.reference)
        promise = self.promise()
        entry.when_quiet(partial(self._begin_reset, entry, promise))
        return promise

    def _begin_reset(self, entry: MountEntry, promise: Promise) -> None:
        if entry.state is not MountState.READY:
            self.reject(promise, MountDoesNotExist(entry.name))
            entry.was_reset()
        elif entry.mount_count:
            self.reject(promise, StillMounted(entry.name))
            entry.was_reset()
        else:
            spare = new_id()
            self.spares.add(spare)
            job = work.ResetMount(
                mount_id=entry.mount_id, parent_id=entry.diff_parent, spare_id=spare
            )
            self.submit(job, partial(self._was_reset, entry, promise, spare))

    def _was_reset(self, entry: MountEntry, promise: Promise, spare: str, done: m.Done) -> None:
        self.spares.discard(spare)
        self.send(self.reaper, m.Sweep())
        self.settle(promise, done)
        entry.was_reset()
