"""The ImageRegistry: the actor that owns the images and their names.

It decides on its books, has the layers of its images retained by the LayerRegistry, and sends the
writing that follows to the driver pool. Changes are made one after another, because all names
share one file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from layerstore.actors import messages as m
from layerstore.actors.books.images import ImageBooks, ImageEntry, Removal
from layerstore.actors.books.names import NamesChange
from layerstore.actors.registries.submitter import Submitter
from layerstore.actors.runtime.base import Continuation, Promise
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers.errors import InvalidMetadata, LayerStoreError
from layerstore.drivers.model.annotations import merged
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID, Repositories, StoredImage
from layerstore.drivers.work import images as work


class ImageRegistry(Submitter):
    """Owns image ID -> image and name -> image ID; retains the top layer of each image."""

    def __init__(
        self,
        identity: Identity,
        *,
        stored: Iterable[StoredImage],
        repositories: Repositories | InvalidMetadata,
        sizes: Mapping[ChainID, int],
        layers: Ref,
        pool: Ref,
        lane: Lane,
    ) -> None:
        """Fill the books; the LayerRegistry already counts one user for each stored image."""
        super().__init__(identity, pool, lane)
        self._fault = repositories if isinstance(repositories, InvalidMetadata) else None
        names = {} if isinstance(repositories, InvalidMetadata) else repositories
        self._books = ImageBooks(stored, names, sizes)
        self._layers = layers
        self._changes: deque[tuple[Promise, Callable[[Promise], None]]] = deque()
        self._changing = False

    def told(self, message: m.Message) -> None:
        """Go on with what was begun."""
        if isinstance(message, m.Done):
            self.proceed(message)
        else:
            super().told(message)

    def asked(self, message: m.Message) -> object:
        """Decide on a request."""
        if isinstance(message, m.CloseBooks):
            return self.close_books()
        self.refuse_if_closed()
        match message:
            case m.ListImages():
                return self._books.all()
            case m.FindImage():
                return self._books.metadata(self._books.find(message.query))
            case m.FindOrigin():
                return self._books.origin(message)
            case m.CountEntries():
                return self._books.count()
            case m.ListTags():
                return self._books.names.tags_meant(message.query)
            case m.ReadImageConfig():
                return self._read(message.image_id)
            case m.AddImage():
                return self._in_turn(partial(self._add, message))
            case m.TagImage():
                return self._in_turn(partial(self._tag, message))
            case m.RemoveImage():
                return self._in_turn(partial(self._remove, message))
        return super().asked(message)

    def _read(self, image_id: ImageID) -> Promise:
        promise = self.promise()
        self.submit(work.ReadConfig(image_id=image_id), partial(self.settle, promise))
        return promise

    # One change after another

    def _in_turn(self, change: Callable[[Promise], None]) -> Promise:
        if self._fault is not None:
            raise self._fault
        promise = self.promise()
        self._changes.append((promise, change))
        self._next_change()
        return promise

    def _next_change(self) -> None:
        while self._changes and not self._changing:
            promise, change = self._changes.popleft()
            self._changing = True
            try:
                change(promise)
            except LayerStoreError as error:
                self._end(promise, error)

    def _end(self, promise: Promise, outcome: object) -> None:
        self._changing = False
        if isinstance(outcome, LayerStoreError):
            self.reject(promise, outcome)
        else:
            self.fulfil(promise, outcome)
        self._next_change()

    def _write_names(self, change: NamesChange, then: Callable[[m.Done], None]) -> None:
        """Write all names, as docker does, and make the change once it is on the disk."""

        def written(done: m.Done) -> None:
            if done.error is None:
                self._books.names.make(change)
            then(done)

        self.submit(work.WriteNames(repositories=change.repositories), written)

    # Adding

    def _add(self, message: m.AddImage, promise: Promise) -> None:
        there = self._books.get(message.facts.image_id)
        if there is not None and there.missing is None:
            self._annotate(message, there, promise)
            return
        entry = ImageEntry(
            facts=message.facts,
            parent=message.parent,
            size=0,
            missing=None,
            annotations=merged(there.annotations if there else (), message.annotations),
        )
        chain = message.facts.chain_id
        if chain is None:
            self._write(message, entry, promise)
            return
        token = self.expect(partial(self._retained, message, entry, promise))
        self.send(self._layers, m.RetainLayer(chain_id=chain, token=token, reply_to=self.ref))

    def _annotate(self, message: m.AddImage, entry: ImageEntry, promise: Promise) -> None:
        """Keep what is new of an addition's annotations with an image that is there."""
        annotations = merged(entry.annotations, message.annotations)

        def written(done: m.Done) -> None:
            if done.error is not None:
                self._end(promise, done.error)
                return
            entry.annotations = annotations
            self._name_added(message, entry, promise, is_new=False)

        if annotations == entry.annotations:
            self._name_added(message, entry, promise, is_new=False)
        else:
            image_id = entry.facts.image_id
            self.submit(work.AnnotateImage(image_id=image_id, annotations=annotations), written)

    def _retained(
        self, message: m.AddImage, entry: ImageEntry, promise: Promise, done: m.Done
    ) -> None:
        if done.error is not None:
            self._end(promise, done.error)
            return
        entry.size = done.outcome(m.LayerMetadata).size
        self._write(message, entry, promise)

    def _write(self, message: m.AddImage, entry: ImageEntry, promise: Promise) -> None:
        def written(done: m.Done) -> None:
            if done.error is not None:
                self._give_up(entry, promise, done.error)
                return
            self._name_added(message, entry, promise, is_new=True)

        job = work.WriteImage(
            image_id=entry.facts.image_id,
            config=message.config,
            parent=message.parent,
            last_updated=message.last_updated,
            annotations=entry.annotations,
        )
        self.submit(job, written)

    def _name_added(
        self, message: m.AddImage, entry: ImageEntry, promise: Promise, *, is_new: bool
    ) -> None:
        def named(done: m.Done) -> None:
            if done.error is None:
                self._books.enter(entry)
                self._end(promise, self._books.metadata(entry))
            elif is_new:
                self._give_up(entry, promise, done.error)
            else:
                self._end(promise, done.error)

        self._write_names(self._books.names.with_names(message.names, entry.facts.image_id), named)

    def _give_up(self, entry: ImageEntry, promise: Promise, error: LayerStoreError) -> None:
        """Undo what an addition has written; a broken image that was there before stays."""

        def dropped(_done: m.Done) -> None:
            self._end(promise, error)

        def deleted(_done: m.Done) -> None:
            self._drop(entry, dropped, failed=True)

        if self._books.get(entry.facts.image_id) is not None:
            self._drop(entry, dropped, failed=True)
        else:
            self.submit(work.DeleteImage(image_id=entry.facts.image_id), deleted)

    def _drop(self, entry: ImageEntry, then: Continuation, *, failed: bool) -> None:
        chain = entry.facts.chain_id
        if chain is None or entry.missing is not None:
            nothing: list[m.LayerMetadata] = []
            then(m.Done(token=0, kind="nothing to drop", value=nothing))
            return
        token = self.expect(then)
        self.send(
            self._layers,
            m.DropLayer(chain_id=chain, token=token, failed=failed, reply_to=self.ref),
        )

    # Naming and removing

    def _tag(self, message: m.TagImage, promise: Promise) -> None:
        entry = self._books.find(message.query)

        def named(done: m.Done) -> None:
            self._end(promise, done.error or self._books.metadata(entry))

        given = {message.name: message.repository}
        self._write_names(self._books.names.with_names(given, entry.facts.image_id), named)

    def _remove(self, message: m.RemoveImage, promise: Promise) -> None:
        removal = self._books.plan_removal(message)
        if removal is None:
            self._end(promise, None)
            return
        names = {name: self._books.names.repository(name) for name in removal.names}

        def untagged(done: m.Done) -> None:
            if done.error is not None:
                self._end(promise, done.error)
            elif removal.delete:
                self._delete(removal, names, promise)
            else:
                self._end(promise, _removed(removal, []))

        if removal.names:
            self._write_names(self._books.names.without_names(removal.names), untagged)
        else:
            self._delete(removal, names, promise)

    def _delete(self, removal: Removal, names: Mapping[str, str], promise: Promise) -> None:
        """Delete an image that has no names any more; if that fails it gets back those it had."""
        entry = removal.entry

        def deleted(done: m.Done) -> None:
            if done.error is not None:
                error = done.error
                back = self._books.names.with_names(names, entry.facts.image_id)
                self._write_names(back, lambda _: self._end(promise, error))
                return
            self._books.strike(entry)
            self._drop(entry, dropped, failed=False)

        def dropped(done: m.Done) -> None:
            self._end(promise, done.error or _removed(removal, done.outcome(list)))

        self.submit(work.DeleteImage(image_id=entry.facts.image_id), deleted)


def _removed(removal: Removal, layers: list[m.LayerMetadata]) -> m.RemovedImage:
    return m.RemovedImage(
        untagged=removal.names,
        deleted=removal.entry.facts.image_id if removal.delete else None,
        layers=tuple(layers),
    )
