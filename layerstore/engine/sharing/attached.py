"""A store that another process has open, with the same ways to ask it.

Owns what stands for the owner's actors here. Requests, time-outs, tars and futures are asking's, as
in the owner itself: only where a message goes to is another.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.calls import call, check_may_wait
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.ref import Address
from layerstore.actors.watching.trace import Took, TraceRecord
from layerstore.actors.watching.waiting import Waiting
from layerstore.asking.core import Core
from layerstore.drivers.errors import (
    CallTimeout,
    DriverError,
    InvalidMetadata,
    LayerNotRetained,
    LayerStoreError,
    MountDoesNotExist,
    NotMounted,
    StoreClosed,
    StoreRestarted,
    Wire,
    from_wire,
)
from layerstore.engine.sharing.following import (
    Following,
    answer_of,
)
from layerstore.engine.sharing.link import Link
from layerstore.engine.sharing.quick import QuickLink
from layerstore.engine.sharing.wire import Owner

if TYPE_CHECKING:
    from layerstore.drivers.root.disk import Disk, DiskConfig

_NOT_MOUNTED = (LayerNotRetained, MountDoesNotExist, NotMounted, StoreClosed)
_LOOKS_FOR = 10.0
"""Seconds for the owner to look at itself, which it does whatever its actors are at."""
_SWITCHES_FOR = 60.0
"""Seconds for the owner to end one journal and begin another, on whatever disk."""


class Far:
    """One of the owner's actors; see Address."""

    __slots__ = ("_link", "_name")

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._name

    @property
    def alive(self) -> bool:
        """Whether there is an owner to ask."""
        return not self._link.ended

    @property
    def ended(self) -> bool:
        """Whether there is none any more."""
        return self._link.ended

    def ask(self, message: m.Message, sender: str = "caller") -> Notifying[Any]:  # noqa: ARG002
        """Send a request to the owner."""
        return self._link.ask(self._name, message)

    def lost(self) -> LayerStoreError:
        """Return what is raised where there is no owner any more."""
        return self._link.lost()


class Sight(Far):
    """The owner itself, to be looked at by what `message` says of that."""

    __slots__ = ()

    def ask(self, message: m.Message, sender: str = "caller") -> Notifying[Any]:  # noqa: ARG002
        """Have the owner look."""
        return self._link.look(self._name)


class FarActors:
    """The owner's actors; it has those that die made anew by itself."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.layers = Far(link, "layers")
        self.mounts = Far(link, "mounts")
        self.images = Far(link, "images")
        self.pool = Far(link, "pool")
        self.reaper = Far(link, "reaper")

    def named(self, name: str) -> Far:
        """Return the actor that has a name."""
        found: Far = getattr(self, name)
        return found

    def current(self, ref: Address, timeout: float | None = None) -> Far:  # noqa: ARG002
        """Return the actor to ask."""
        return self.named(ref.name)

    def restoring(self) -> Notifying[Any] | None:
        """Return None: the owner waits for its actors, not those who ask it."""
        return None

    def abandon(self, ref: Address, message: m.Message) -> None:  # noqa: ARG002
        """Have undone what was asked for by somebody who has given up."""
        if message.number is not None and not self._link.ended:
            self._link.abandon(message.number)


class AttachedCore(Core):
    """The actors of a store that another process has open."""

    def __init__(self, root: str, link: QuickLink) -> None:
        self.link = link
        self.owner: Owner = link.owner
        """Who has the store open, and how."""
        super().__init__(root, durable=self.owner.durable)
        self._actors = self._make_actors()

    def _make_actors(self) -> FarActors:
        return FarActors(self.link)

    @property
    def actors(self) -> FarActors:
        """The owner's actors."""
        return self._actors

    @functools.cached_property
    def config(self) -> DiskConfig:
        """See Core; as the owner has it."""
        # Only here: of the root itself most who attach want nothing.
        from layerstore.drivers.root.disk import DiskConfig  # noqa: PLC0415

        return DiskConfig(
            root=self.root,
            driver=self.owner.driver,
            durable=self.owner.durable,
            limits=self.owner.limits,
            confine=self.owner.confine,
        )

    @functools.cached_property
    def disk(self) -> Disk:
        """See Core."""
        from layerstore.drivers.root.disk import make_disk  # noqa: PLC0415

        return make_disk(self.config)

    @property
    def workers(self) -> int:
        """See Core; of the owner."""
        return self.owner.workers

    @property
    def faults(self) -> list[InvalidMetadata]:
        """See Core."""
        wires: list[Wire] = self._look("faults")
        found = [from_wire(wire) for wire in wires]
        return [fault for fault in found if isinstance(fault, InvalidMetadata)]

    @property
    def generation(self) -> int:
        """See Core."""
        number: int = self._look("generation")
        return number

    def waiting(self) -> Waiting:
        """See Core."""
        waiting: Waiting = self._look("waiting")
        return waiting

    def slowest(self) -> Sequence[Took]:
        """See Core."""
        calls: list[Took] = self._look("slowest")
        return calls

    def records(self) -> Sequence[TraceRecord]:
        """See Core."""
        records: list[TraceRecord] = self._look("trace")
        return records

    @contextlib.contextmanager
    def following(self) -> Iterator[Following]:
        """Hear what the owner does, for a `with` block. Raises StoreClosed, StoreBusy, CallTimeout.

        What was done before its end is heard, if no error ends it.
        """
        self.check_open()
        following = Following(self.new_reference())
        try:
            answer_of("watch", self._current_link().watch(following), _LOOKS_FOR)
            yield following
        except BaseException:
            self.link.order("unwatch", following.watch)
            raise
        else:
            # An owner that is gone or stopped tells nothing; the latter does it when it goes on.
            with contextlib.suppress(StoreClosed, StoreRestarted, CallTimeout):
                self.check_open()
                unwatched = self._current_link().order("unwatch", following.watch)
                answer_of("unwatch", unwatched, _LOOKS_FOR)
        finally:
            following.end()
            self.link.followers.remove(following)

    def _current_link(self) -> Link:
        """Return the connection to ask by."""
        return self.link

    def trace_to(self, path: str | os.PathLike[str] | None) -> None:
        """See Observing.trace_to; the owner writes it."""
        from layerstore.drivers.records.journal import journal_path  # noqa: PLC0415 - as the disk

        self.check_open()
        place = None if path is None else journal_path(path)
        answer_of("trace_to", self._current_link().order("journal", place), _SWITCHES_FOR)

    def _call_once(
        self, ref: Address, message: m.Message, timeout: float | None, deadline: float | None
    ) -> Any:
        check_may_wait(message)
        asked = self.link.ask_by_line(ref.name, message)
        if asked is None:
            return super()._call_once(ref, message, timeout, deadline)
        return asked.answer(timeout, deadline)

    def check_open(self) -> None:
        """See Core."""
        super().check_open()
        if self.link.ended:
            raise StoreClosed(self.root)

    def _look(self, what: str) -> Any:
        self.check_open()
        return call(Sight(self.link, what), m.PoolStatus(), _LOOKS_FOR)

    def close(self, *, keep_mounts: bool, timeout: float) -> None:
        """Unmount what was mounted through it, and end the connection. Idempotent."""
        if self._closing or os.getpid() != self._pid:
            return
        self._closing = True
        try:
            if not keep_mounts:
                self._unmount(time.monotonic() + timeout)
        finally:
            self.link.close()
            self._dismiss()

    def _unmount(self, deadline: float) -> None:
        failures: list[DriverError] = []
        for (reference, name), mounts in list(self.link.mounts.items()):
            for _ in range(len(mounts)):
                left = max(deadline - time.monotonic(), 0.0)
                message = m.Unmount(reference=reference, name=name)
                try:
                    # What is gone isn't mounted either, nor can a dead owner unmount.
                    with contextlib.suppress(*_NOT_MOUNTED):
                        call(self.actors.mounts, message, left)
                except DriverError as error:
                    failures.append(error)
        for failure in failures:
            raise failure
