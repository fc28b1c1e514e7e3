"""Mounting and unmounting read-write layers: the part of the MountRegistry that counts mounts.

Owns what is between the first mount and the last unmount of an entry; the entry is busy while the
disk changes, and who comes meanwhile waits for its turn.
"""

from __future__ import annotations

from functools import partial

from layerstore.actors import messages as m
from layerstore.actors.books.mount_entry import MountEntry, MountState
from layerstore.actors.books.mounts import MountBooks
from layerstore.actors.registries.submitter import Submitter
from layerstore.actors.runtime.base import Continuation, Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import LayerStoreError, MountDoesNotExist, NotMounted


class Mounting(Submitter):
    """Mounts an entry for the first who wants it and unmounts it after the last."""

    def __init__(self, identity: Identity, pool: Ref, lane: Lane, books: MountBooks) -> None:
        super().__init__(identity, pool, lane)
        self.books = books

    def mount(self, message: m.Mount) -> Promise:
        """Promise the path at which a layer that the caller holds is mounted."""
        entry = self.books.find_held(message.name, message.reference)
        promise = self.promise()
        entry.when_free(partial(self._begin_mount, entry, message, promise))
        return promise

    def _begin_mount(self, entry: MountEntry, message: m.Mount, promise: Promise) -> None:
        if entry.state is not MountState.READY:
            self.reject(promise, MountDoesNotExist(entry.name))
        elif entry.mount_count:
            entry.mount_count += 1
            self.books.counted(entry)
            self.fulfil(promise, entry.path)
        else:
            entry.busy = True
            job = work.MountLayer(mount_id=entry.mount_id, mount_label=message.mount_label)
            self.submit(job, partial(self._mounted, entry, promise))

    def _mounted(self, entry: MountEntry, promise: Promise, done: m.Done) -> None:
        if done.error is None:
            entry.mount_count = 1
            entry.mounted_here = True
            entry.path = done.outcome(str)
            self.books.counted(entry)
        self.settle(promise, done)
        entry.free()

    def unmount(self, message: m.Unmount) -> Promise:
        """Promise that one mount less is counted."""
        entry = self.books.find_held(message.name, message.reference)
        promise = self.promise()
        entry.when_free(partial(self._begin_unmount, entry, promise))
        return promise

    def _begin_unmount(self, entry: MountEntry, promise: Promise) -> None:
        if entry.state is not MountState.READY:
            self.reject(promise, MountDoesNotExist(entry.name))
        elif entry.mount_count == 0:
            self.reject(promise, NotMounted(entry.name))
        elif entry.mount_count > 1:
            entry.mount_count -= 1
            self.books.counted(entry)
            self.fulfil(promise, None)
        else:
            self.take_down(entry, partial(self._unmounted, entry, promise))

    def _unmounted(self, entry: MountEntry, promise: Promise, done: m.Done) -> None:
        self.settle(promise, done)
        entry.free()

    def take_down(self, entry: MountEntry, then: Continuation) -> None:
        """Unmount for good, whatever the count; `then` finds the entry still busy."""
        entry.busy = True
        self.books.changing(entry)

        def unmounted(done: m.Done) -> None:
            if done.error is None:
                entry.mount_count = 0
                entry.mounted_here = False
                entry.path = None
            self.books.counted(entry)
            then(done)

        self.submit(work.UnmountLayer(mount_id=entry.mount_id), unmounted)

    def unmount_all(self) -> Promise:
        """Promise the names of what this store mounted and can't unmount."""
        promise = self.promise()
        entries = [entry for entry in self.books.all() if entry.mounted_here]
        left = len(entries)
        failures: dict[str, LayerStoreError] = {}

        def one_less(entry: MountEntry, done: m.Done | None) -> None:
            nonlocal left
            left -= 1
            if done is not None and done.error is not None:
                failures[entry.name] = done.error
            if not left:
                self.fulfil(promise, failures)
            if done is not None:
                entry.free()

        def begin(entry: MountEntry) -> None:
            if entry.mounted_here:
                self.take_down(entry, partial(one_less, entry))
            else:
                one_less(entry, None)

        for entry in entries:
            entry.when_free(partial(begin, entry))
        if not entries:
            self.fulfil(promise, failures)
        return promise

    def take_down_stray(self, entry: MountEntry) -> None:
        """Unmount what nobody has mounted, as far as the books know."""
        self.take_down(entry, lambda _: entry.free())
