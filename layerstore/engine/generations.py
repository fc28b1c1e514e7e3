"""The actors of now: the crew of an open store, and another in its place when one of them dies.

Owns the supervisor, what outlives the actors, and the order in which they end. It decides nothing
about layers and mounts; that is the actors'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.books.retained import Retained
from layerstore.actors.runtime.calls import call
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.ref import Address, Ref, Unwatched
from layerstore.actors.watching.waiting import Waiting, look_around
from layerstore.actors.workers.supervisor import Supervisor
from layerstore.drivers.errors import (
    InternalError,
    InvalidMetadata,
    LayerStoreError,
    StoreClosed,
    StoreRestarted,
)
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.root.disk import Disk, DiskConfig
from layerstore.engine.crew import Crew, Found, Staff

_REBUILD_GRACE = 30.0
"""Seconds that what runs in threads (an init function, a system call) has to end in a rebuild."""
_STOPPING = 10.0
"""Seconds that actors which have only just been started have to stop again."""


class Generations:
    """One crew of actors at a time."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        staff: Staff,
        find: Callable[[], Found],
        on_anew: Callable[[], None],
        retained: Retained,
    ) -> None:
        """Start the actors with what `find` finds on the disk; the root's lock must be held.

        `find` is called again when an actor has died, and `on_anew` once others are there.
        `retained` is what callers hold already. Raises what `find` raises.
        """
        self._disk = disk
        self._config = config
        self._staff = staff
        self._find = find
        self._on_anew = on_anew
        self.faults: list[InvalidMetadata] = []
        """The metadata that the newest crew couldn't use."""
        self.number = 0
        """How often the actors were made anew."""
        self.retained = retained
        self._ended = False
        self._supervisor = Supervisor.launch(
            "supervisor",
            staff.tracer,
            Unwatched(disk.root),
            rebuild=self._rebuild,
            abandon=self._undo,
        )
        try:
            self.crew = self._new_crew()
        except BaseException:
            self._supervisor.stop()
            self._supervisor.join(_STOPPING)
            raise

    @property
    def layers(self) -> Ref:
        """The LayerRegistry of now."""
        return self.crew.layers

    @property
    def mounts(self) -> Ref:
        """The MountRegistry of now."""
        return self.crew.mounts

    @property
    def images(self) -> Ref:
        """The ImageRegistry of now."""
        return self.crew.images

    @property
    def pool(self) -> Ref:
        """The DriverPool of now."""
        return self.crew.pool

    @property
    def reaper(self) -> Ref:
        """The Reaper of now."""
        return self.crew.reaper

    def named(self, name: str) -> Ref:
        """Return the actor of now that has a name."""
        found: Ref = getattr(self.crew, name)
        return found

    def current(self, ref: Address, timeout: float | None = None) -> Ref:
        """Return the actor to ask for one that may have died; waits until it is made anew."""
        if self.crew.dead is not None:
            call(self._supervisor, m.Restore(), timeout)
        return self.named(ref.name)

    def restoring(self) -> Notifying[Any] | None:
        """Return a future of when actors that have died are made anew, if some have."""
        return self._supervisor.ask(m.Restore()) if self.crew.dead is not None else None

    def waiting(self) -> Waiting:
        """Return what is under way; from any thread, whatever the actors are at."""
        crew = self.crew
        return look_around((crew.images, crew.mounts, crew.layers, crew.pool, crew.reaper))

    # Making anew what died

    def _new_crew(self) -> Crew:
        found = self._find()
        self.faults = [*found.recovered.faults, *found.images.faults]
        generation = self.number
        crew = Crew(
            self._disk, self._config, self._staff, lambda actor: self._lost(actor, generation)
        )
        try:
            crew.launch(found, self.retained)
        except BaseException:
            crew.end(time.monotonic(), _STOPPING)
            raise
        return crew

    def _lost(self, actor: str, generation: int) -> LayerStoreError:
        """Have the actors made anew, unless the store ends; returns what those who wait get."""
        if self._ended or not self._supervisor.alive:
            return StoreClosed(self._disk.root)
        self._supervisor.tell(m.Died(actor=actor, generation=generation), None, actor)
        return StoreRestarted(actor)

    def _rebuild(self) -> None:
        """End the crew, cutting off what it does, and launch another; the supervisor's.

        Raises LayerStoreError where the disk can't be read, or work that was begun doesn't end:
        beginning anew beside it could take away what it makes.
        """
        if not self._ended and not self.crew.end(time.monotonic(), _REBUILD_GRACE):
            raise InternalError("making the actors anew", "work that was begun doesn't end")
        if not self._ended:  # which it may be by now
            self.number += 1
            self.crew = self._new_crew()
            self._on_anew()

    # Undoing

    def abandon(self, ref: Address, message: m.Message) -> None:
        """Have undone what `ref` was asked for by somebody who has given up."""
        if message.number is not None:
            self._tell_of((ref,), m.Abandon(reference=message.number))

    def undo(self, reference: int) -> None:
        """Have undone what was asked for by a number, whoever was asked."""
        self._tell_of((self.layers, self.mounts), m.Abandon(reference=reference))

    def take(self, get: m.GetLayer) -> m.LayerMetadata | None:
        """Have a reference taken to a layer that others have, too; None where that isn't so.

        Then there is no answer to wait for. Whoever takes it puts it in first: so actors that are
        made anew meanwhile hold it.
        """
        retained = self.retained.layers
        lent = retained.lent.get(get.chain_id)
        if lent is None or not lent.leave:
            return None
        told = False
        try:
            retained.held[get.reference] = get.chain_id
            told = self.layers.tell_unheard(lent.leave, get, lent.to_give_back)
        finally:
            if not told:
                retained.held.pop(get.reference, None)
        return lent.facts if told else None

    def give_back(self, release: m.ReleaseLayer) -> bool:
        """Have a reference given back that isn't its layer's last; whether that is so.

        Then there is no answer to wait for. Whoever gives it back takes it out first: so nobody
        else does as well, and actors that are made anew meanwhile don't hold it.
        """
        retained = self.retained.layers
        leave = retained.slack.get(release.chain_id)
        if not leave:
            return False
        taken_out: list[ChainID | None] = []
        told = False
        try:
            # One step of the interpreter: whatever interrupts, it is known what was taken out.
            taken_out.extend(map(retained.held.pop, (release.reference,), (None,)))
            if taken_out[0] is not None:
                retained.forsaken.add(release.chain_id)
                told = self.layers.tell_unheard(leave, release)
        finally:
            if not told and taken_out and taken_out[0] is not None:
                retained.held[release.reference] = release.chain_id
        return told

    def let_go(self, ref: Address, reference: int) -> None:
        """Have a reference given back whose holder is gone; what was made for it stays."""
        self._tell_of((ref,), m.Abandon(reference=reference, stays=True))

    def _tell_of(self, refs: Iterable[Address], abandoned: m.Abandon) -> None:
        # Them first: what they are asked after this has to find it done.
        for ref in refs:
            self.named(ref.name).tell(abandoned, None, "caller")
        # If that actor dies, or has died, it is for the next, which the supervisor will have.
        self._supervisor.tell(abandoned, None, "on behalf of it")

    def _undo(self, abandoned: m.Abandon) -> None:
        """Undo what a caller asked for, whichever actor knows of it; the supervisor's."""
        self.retained.forget(abandoned.reference, stays=abandoned.stays)
        for registry in (self.layers, self.mounts):
            registry.tell(abandoned, None, "supervisor")

    # Ending

    def end(self, deadline: float) -> None:
        """Have no more actors made anew, and end those of now; see Crew.end."""
        self._ended = True
        self._supervisor.stop()
        self._supervisor.join(max(deadline - time.monotonic(), 1.0))
        self.crew.end(deadline, grace=1.0)

    def leave_trash(self) -> None:
        """Leave what was removed to the next open."""
        self.crew.leave_trash()

    def kill_children(self) -> None:
        """Kill every child in the middle of whatever it does."""
        self.crew.kill_children()
