"""Registering layers ahead of their parents: the part of the LayerRegistry for chains of layers.

Owns what is known of layers before they are there, by the diff IDs that they are to have: which is
on its way for a chain ID, what each still waits for, and what becomes of those on one that fails.
Layers are created in order, unpacked side by side, and committed in order: a layer's directory must
be there for others to be made on it; what unpacks waits by itself, at a gate, before it looks into
lower layers for the first time, until those are filled; and the disk never has a layer without its
parent.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial

from layerstore.actors import messages as m
from layerstore.actors.books.layer_entry import LayerEntry, LayerState
from layerstore.actors.registries.registering import Registering, Registration
from layerstore.actors.runtime.base import Promise
from layerstore.actors.watching.trace import Envelope
from layerstore.drivers import work
from layerstore.drivers.errors import (
    IntegrityError,
    InvalidArgument,
    JobCancelled,
    LayerDoesNotExist,
    LayerStoreError,
)
from layerstore.drivers.model.ids import ChainID, DiffID, chain_of


class Step(enum.IntEnum):
    """How far a layer is that is registered ahead."""

    KNOWN = 0
    """Perhaps somebody else makes the same."""
    CREATED = 1
    APPLIED = 2
    COMMITTING = 3
    """Nothing stops it any more."""
    OVER = 4


class Ahead(Registration, kw_only=True):
    """A Register of a layer whose parent may not be there yet."""

    chain_id: ChainID
    diff_id: DiffID
    source: work.TarSource
    descriptors: work.Descriptors
    cause: Envelope | None
    """The request, which causes what others that it waits for make it do."""
    entry: LayerEntry | None = None
    """Its page in the books, unless it waits for somebody who makes the same."""
    step: Step = Step.KNOWN
    job: int | None = None
    """The token of the job that is done for it."""
    gate: work.Gate | None = None
    trouble: LayerStoreError | None = None
    """What went wrong, which may be that its parent is just being thrown away."""
    failure: LayerStoreError | None = None
    waits: bool = False
    """Whether it is woken when its parent's state changes."""


class Chaining(Registering):
    """Makes layers of one chain side by side."""

    def register_ahead(self, message: m.Register) -> Promise:
        """Begin to make a layer that is known by its diff ID, on a parent that may be like that."""
        diff = message.source.expected_diff_id
        if diff is None or (message.source.size is None and not message.source.confirmed):
            # Others wait for it, so its tar must have an end that somebody sees to.
            reason = "a layer is registered ahead by its diff ID, from what has an end"
            raise InvalidArgument(str(diff), reason)
        parent = self.books.find_parent(message.parent, ahead=True)
        registration = Ahead(
            reference=message.reference,
            parent=parent,
            descriptor=message.descriptor,
            promise=self.promise(),
            chain_id=chain_of(parent.chain_id if parent else None, DiffID(diff)),
            diff_id=DiffID(diff),
            source=message.source,
            descriptors=message.descriptors,
            cause=self._handling,
        )
        self.enter(registration)
        self._claim(registration)
        return registration.promise

    def _claim(self, one: Ahead) -> None:
        """Take the page of the layer's chain ID, or take the layer, or wait for who makes it."""
        there = self.books.find_any(one.chain_id)
        if there is None:
            if not self._has_parent(one):
                return
            one.entry = self.books.open_entry(
                one.parent, one.chain_id, one.diff_id, one.cache_id, 0, one.descriptor
            )
            self._advance(one)
        elif there.state is LayerState.READY:
            self.hold(there, one.reference)
            self._end(one, there)
        else:
            there.waiting.append(self._woken(one, self._claim))

    def _woken(self, one: Ahead, look: Callable[[Ahead], None]) -> Callable[[], None]:
        """Return what has a registration look again, in the name of its own request."""

        def wake() -> None:
            one.waits = False
            if one.step is not Step.OVER and one.failure is None:
                with self.for_request(one.cause):
                    look(one)

        return wake

    def _has_parent(self, one: Ahead) -> bool:
        """Whether what the layer is to lie on may still come; fails it otherwise."""
        if one.parent is not None and one.parent.state is LayerState.FAILED:
            self._fail(one, LayerDoesNotExist(one.parent.chain_id))
            return False
        return True

    def _advance(self, one: Ahead) -> None:
        """Go on as far as the parent is."""
        if one.entry is None or not self._has_parent(one):
            return
        parent = one.parent
        ready = parent is None or parent.state is LayerState.READY
        if parent is not None and not ready and not one.waits:
            one.waits = True
            parent.waiting.append(self._woken(one, self._advance))
        filled = parent is None or ready or parent.filled
        if filled:
            _open_gate(one)
        if one.trouble is not None:
            if ready:
                self._fail(one, one.trouble)
            return
        if one.job is not None:
            return
        if one.step is Step.KNOWN and (parent is None or ready or parent.created):
            self._create(one)
        elif one.step is Step.CREATED:
            self._apply(one, gated=not filled)
        elif one.step is Step.APPLIED:
            if filled and not one.entry.filled:
                one.entry.filled = True
                one.entry.wake()
            if ready:
                self._commit(one, one.entry)

    def _create(self, one: Ahead) -> None:
        job = work.CreateLayer(
            transaction=one.transaction,
            cache_id=one.cache_id,
            parent_cache_id=one.parent.cache_id if one.parent else None,
        )
        one.job = self.submit(job, partial(self._created, one))

    def _created(self, one: Ahead, done: m.Done) -> None:
        one.job = None
        if done.error is None:
            one.step = Step.CREATED
        if self._goes_on(one, done.error) and one.entry is not None:
            one.entry.created = True
            one.entry.wake()
            self._advance(one)

    def _apply(self, one: Ahead, *, gated: bool) -> None:
        descriptors, one.descriptors = one.descriptors, ()
        if gated:
            try:
                one.gate = work.Gate.make()
                descriptors = (*descriptors, one.gate.to_wait_at())
            except LayerStoreError as error:
                one.descriptors = descriptors
                self._fail(one, error)
                return
        job = one.apply(one.source, created=True, gated=gated)
        one.job = self.submit(job, partial(self._unpacked, one), descriptors)

    def _unpacked(self, one: Ahead, done: m.Done) -> None:
        one.job = None
        if not self._goes_on(one, done.error) or one.entry is None:
            return
        applied = done.outcome(work.AppliedLayer)
        if applied.diff_id != one.diff_id:
            # Whoever unpacks has compared them; but it has read the tar.
            self._fail(one, IntegrityError("the layer's diff ID", one.diff_id, applied.diff_id))
            return
        one.step = Step.APPLIED
        one.entry.diff_size = applied.size
        self._advance(one)

    def _commit(self, one: Ahead, entry: LayerEntry) -> None:
        self.books.add_up(entry)
        one.step = Step.COMMITTING
        job = work.CommitLayer(transaction=one.transaction, chain_id=one.chain_id)
        one.job = self.submit(job, partial(self._made, one, entry))

    def _made(self, one: Ahead, entry: LayerEntry, done: m.Done) -> None:
        one.job = None
        if self._goes_on(one, done.error):
            self._is_over(one)
            self.is_there(one, entry)

    # Failing

    def _goes_on(self, one: Ahead, error: LayerStoreError | None) -> bool:
        """Whether a registration whose job has ended is still wanted; ends it otherwise."""
        if one.failure is not None:
            self._undo(one, one.failure)
        elif error is not None:
            one.trouble = error
            self._advance(one)
        return one.failure is None and error is None

    def _fail(self, one: Ahead, error: LayerStoreError) -> None:
        """Give a layer up, and with it all that are to lie on it; what is under way is stopped."""
        one.failure = error
        entry, one.entry = one.entry, None
        if entry is not None:
            self.books.fail(entry)
        # In a thread nothing else ends the wait, and what it comes to is thrown away.
        _open_gate(one)
        if one.job is None:
            self._undo(one, error)
        else:
            self.cancel(one.job)

    def _undo(self, one: Ahead, error: LayerStoreError) -> None:
        if one.step is Step.KNOWN:
            self._end(one, error)
        else:
            self._is_over(one)
            self.discard(one, error)

    def _end(self, one: Ahead, outcome: LayerEntry | LayerStoreError) -> None:
        self._is_over(one)
        self.end_registration(one, outcome)

    def _is_over(self, one: Ahead) -> None:
        one.step = Step.OVER
        for descriptor in one.descriptors:
            descriptor.close()

    def on_stop(self) -> None:
        """Have nobody wait at a gate that nobody opens any more."""
        for one in self.registrations.values():
            if isinstance(one, Ahead):
                _open_gate(one)
        super().on_stop()

    def abandon_ahead(self, one: Ahead) -> None:
        """Stop what nobody wants any more; what can't be stopped is undone once it is there."""
        one.abandoned = True
        if one.step < Step.COMMITTING and one.failure is None:
            self._fail(one, JobCancelled("the registration"))


def _open_gate(one: Ahead) -> None:
    if one.gate is not None:
        one.gate.open()
