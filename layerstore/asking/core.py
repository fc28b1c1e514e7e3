"""What faces ask: the actors of an open store, wherever they live.

Owns asking them and waiting for them, whatever happens: time-outs, interrupts, actors that are made
anew, tars on their way. Who the actors are, and their end, is for whoever has them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import structs

from layerstore.actors import messages as m
from layerstore.actors.runtime.calls import Call, deadline_of
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.ref import Address
from layerstore.actors.watching.trace import Took, TraceRecord
from layerstore.actors.watching.waiting import Waiting
from layerstore.asking.later import Later
from layerstore.asking.requests import HandIn, Reading, Request
from layerstore.asking.source import Pump, hand_over, in_file, make_pipe
from layerstore.asking.stream import TarStream
from layerstore.drivers.errors import (
    CallerError,
    CallTimeout,
    InvalidMetadata,
    LayerStoreError,
    StoreClosed,
    StoreRestarted,
)
from layerstore.drivers.work import Descriptors, OwnedDescriptor

if TYPE_CHECKING:
    from layerstore.drivers.confine.confine import Confinement
    from layerstore.drivers.root.disk import Disk, DiskConfig

T = TypeVar("T")
L = TypeVar("L", bound=Later[Any])

_ATTEMPTS = 3
"""How often a question is asked whose actor dies each time."""


class Actors(Protocol):
    """The actors of now."""

    @property
    def layers(self) -> Address:
        """The LayerRegistry."""

    @property
    def mounts(self) -> Address:
        """The MountRegistry."""

    @property
    def images(self) -> Address:
        """The ImageRegistry."""

    @property
    def pool(self) -> Address:
        """The DriverPool."""

    def named(self, name: str) -> Address:
        """Return the actor that has a name."""

    def current(self, ref: Address, timeout: float | None = None) -> Address:
        """Return the actor to ask for one that may have died; waits until it is made anew."""

    def restoring(self) -> Notifying[Any] | None:
        """Return a future of when actors that have died are made anew, if some have."""

    def abandon(self, ref: Address, message: m.Message) -> None:
        """Have undone what `ref` was asked for by somebody who has given up."""


class Core(ABC):
    """The actors of one open store, as faces ask them."""

    def __init__(self, root: str, *, durable: bool, references_from: int = 1) -> None:
        self.root = root
        self.durable = durable
        self._confinement: Confinement | None = None
        self._references = itertools.count(references_from)
        self._pid = os.getpid()
        self._later: dict[Later[Any], None] = {}
        self._at_end: dict[object, Callable[[], None]] = {}
        self._closing = False

    @property
    @abstractmethod
    def actors(self) -> Actors:
        """The actors of now."""

    @property
    @abstractmethod
    def disk(self) -> Disk:
        """The root, as this process may read it."""

    @property
    @abstractmethod
    def config(self) -> DiskConfig:
        """What children have the same root by."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many short jobs run at once, in children; 0: in threads."""

    @property
    @abstractmethod
    def faults(self) -> list[InvalidMetadata]:
        """The metadata on the disk that can't be used."""

    @property
    @abstractmethod
    def generation(self) -> int:
        """How often the actors were made anew."""

    @abstractmethod
    def waiting(self) -> Waiting:
        """Return what is under way; from any thread, whatever the actors are at."""

    @abstractmethod
    def slowest(self) -> Sequence[Took]:
        """Return the calls that took longest in the last minute, as far as it is remembered."""

    @abstractmethod
    def records(self) -> Sequence[TraceRecord]:
        """Return the newest messages between the actors."""

    def confinement(self) -> Confinement:
        """Return how worker processes are confined, asking one that is spawned for it once."""
        # Only here: an attached store has no children but for this.
        from layerstore.drivers.confine.confine import Confinement  # noqa: PLC0415
        from layerstore.drivers.worker.process import ChildProcess  # noqa: PLC0415

        self.check_open()
        if not self.workers:
            return Confinement((), ("everything (jobs run in threads of this process)",))
        if self._confinement is None:
            child = ChildProcess(self.config)
            try:
                self._confinement = child.confinement()
            finally:
                child.close()
        return self._confinement

    # Asking

    def new_reference(self) -> int:
        """Return a number that no reference and no request of this store has had."""
        return next(self._references)

    def check_open(self) -> None:
        """Raise StoreClosed where the store can't be used (any more, or in a forked child)."""
        if self._closing or os.getpid() != self._pid:
            raise StoreClosed(self.root)

    def call(self, ref: Address, message: m.Message, timeout: float | None = None) -> Any:
        """Ask an actor, or the one that came after it, and wait for the answer.

        Where the caller gives up (CallTimeout, an interrupt), or never hears what became of it
        (StoreRestarted), what was asked for is undone.
        """
        deadline = deadline_of(timeout)
        attempts = _ATTEMPTS if message.repeatable else 1
        while True:
            self.check_open()
            attempts -= 1
            try:
                return self._call_once(ref, message, timeout, deadline)
            except StoreRestarted:
                if not attempts:
                    self.abandon(ref, message)
                    raise
            except LayerStoreError as error:
                if isinstance(error, CallTimeout):
                    self.abandon(ref, message)
                raise
            except BaseException:
                self.abandon(ref, message)
                raise

    def _call_once(
        self, ref: Address, message: m.Message, timeout: float | None, deadline: float | None
    ) -> Any:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        return Call(self.actors.current(ref, left), message, timeout, deadline).result()

    def ask(self, request: Request[T], timeout: float | None = None) -> T:
        """Ask what a request says, as `call`, and return what it makes of the answer.

        An interrupt in the middle of that comes too late to hinder what was asked for.
        """
        ref, message = self.actor(request.actor), request.message
        answer = self.call(ref, message, timeout)
        try:
            return request.take(answer)
        except BaseException:
            self.abandon(ref, message)
            raise

    def actor(self, name: str) -> Address:
        """Return the actor of now that has a name."""
        return self.actors.named(name)

    def abandon(self, ref: Address, message: m.Message) -> None:
        """Have undone what `ref` was asked for by somebody who has given up."""
        self.actors.abandon(ref, message)

    def hand_in(self, request: HandIn[T], timeout: float | None = None) -> T:
        """Ask an actor to have a tar read, pumping it meanwhile where a worker can't read it.

        Where the source fails, what was begun is undone before its error is raised.
        """
        self.check_open()
        deadline = deadline_of(timeout)
        ref = self.actors.current(self.actor(request.actor), timeout)
        given = hand_over(request.source, request.how)
        message = request.make_message(given)
        try:
            call_of_it = Call(ref, message, timeout, deadline)
            self._accepted(call_of_it, given.descriptors)
            if given.pump is not None:
                self._pump(given.pump, call_of_it)
            return request.take(call_of_it.result())
        except BaseException:
            self.abandon(ref, message)
            raise
        finally:
            if given.pump is not None:
                given.pump.close()

    def _accepted(self, request: Call, descriptors: Descriptors) -> None:
        """Wait until the actor has taken a request; nobody reads what is pumped for it before."""
        try:
            request.accepted()
        except (StoreClosed, StoreRestarted):
            for descriptor in descriptors:
                descriptor.close()
            raise

    def _pump(self, pump: Pump, request: Call) -> None:
        try:
            pump.run(lambda: request.seconds_left)
        except CallerError:
            with contextlib.suppress(LayerStoreError):  # it says that the source has failed
                request.result()
            raise

    def stream(self, request: Reading) -> TarStream:
        """Ask an actor to have a tar written, and return the end to read it from."""
        self.check_open()
        reader, writer = make_pipe()
        stream, sink = OwnedDescriptor(reader), OwnedDescriptor(writer)
        try:
            ref = self.actors.current(self.actor(request.actor))
            call_of_it = Call(ref, request.make_message((sink,)))
            self._accepted(call_of_it, (sink,))
        except BaseException:
            stream.close()
            raise
        return TarStream(call_of_it, stream)

    # Asking without waiting

    def begin(self, request: Request[T]) -> Later[T]:
        """Ask what a request says, and return the future of what it makes of the answer."""
        return self.follow(Later(self, request))

    def follow(self, later: L) -> L:
        """Begin a request, and see to it that it is answered even where its actor is lost."""
        self.check_open()
        self._later[later] = None
        return later.begin()

    def begin_handing_in(self, request: HandIn[T]) -> Later[T]:
        """Ask an actor to have a tar read that workers can read, or that is in memory.

        Raises TypeError for any other, which somebody would have to pump.
        """
        if callable(getattr(request.source, "read", None)):
            raise TypeError("a file object is read by whoever has it: hand in its path or number")
        with in_file(request.source) as source:
            later, _ = self.begin_pumping(structs.replace(request, source=source))
        return later

    def begin_pumping(self, request: HandIn[T]) -> tuple[Later[T], Pump | None]:
        """Ask an actor to have a tar read; the caller runs the pump, if there is one."""
        self.check_open()
        given = hand_over(request.source, request.how)
        message = request.make_message(given)
        return self.begin(Request(request.actor, message, request.take)), given.pump

    def begin_reading(self, request: Reading) -> tuple[Later[None], OwnedDescriptor]:
        """Ask an actor to have a tar written; returns its verdict and the end to read from."""
        self.check_open()
        reader, writer = make_pipe()
        message = request.make_message((OwnedDescriptor(writer),))
        return self.begin(Request(request.actor, message)), OwnedDescriptor(reader)

    def restoring(self) -> Notifying[Any] | None:
        """Return a future of when actors that have died are made anew, if some have."""
        return self.actors.restoring()

    def forget(self, later: Later[Any]) -> None:
        """Take note that a request is over."""
        self._later.pop(later, None)

    def _look_after(self) -> None:
        """Answer those whose request was lost with its actor."""
        for later in list(self._later):
            later.look_up()

    @contextlib.contextmanager
    def at_end(self, action: Callable[[], None]) -> Iterator[None]:
        """Have an action done, in the thread that closes the store, if that happens in the block.

        For whoever waits for something else meanwhile. Raises StoreClosed where it is closed.
        """
        key = object()
        self._at_end[key] = action
        try:
            self.check_open()
            yield
        finally:
            self._at_end.pop(key, None)

    def _dismiss(self) -> None:
        """Answer all that wait still: the store is closed, whatever its actors are at."""
        for action in list(self._at_end.values()):
            action()
        for later in list(self._later):
            later.closed()
