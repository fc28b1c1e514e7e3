"""The inside of an open store: its lock, its disk, its actors, and the ways to ask them.

Owns their start and their end. It decides nothing about layers and mounts; that is the actors'.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.base import Ref
from layerstore.actors.calls import Call, call
from layerstore.actors.images import ImageRegistry
from layerstore.actors.layers import LayerRegistry
from layerstore.actors.mounts import MountRegistry
from layerstore.actors.pool import DriverPool
from layerstore.actors.trace import Tracer
from layerstore.actors.worker import Reaper
from layerstore.drivers.confine import Confinement
from layerstore.drivers.disk import Disk, DiskConfig
from layerstore.drivers.errors import CallerError, CallTimeout, LayerStoreError, StoreClosed
from layerstore.drivers.hands import WorkerHands
from layerstore.drivers.ids import ChainID
from layerstore.drivers.imagedb import RecoveredImages
from layerstore.drivers.process import ChildProcess
from layerstore.drivers.recovery import Recovered
from layerstore.drivers.stored import StoredLayer
from layerstore.drivers.work import Descriptors, OwnedDescriptor, TarSource
from layerstore.source import Handover, Pump, Source, hand_over, make_pipe
from layerstore.stream import TarStream

_REAPER_NICENESS = 10
_CUT_OFF_INTERVAL = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """How many workers there are, and what they may take on."""

    workers: int
    """Short jobs that run at once, and children kept ready; 0: one worker without a child."""
    max_heavy: int
    """Heavy jobs that run at once, a child each."""
    max_queued: int
    """Jobs that wait before StoreBusy is raised."""
    prespawn: bool
    """Spawn the children when the store is opened, not at their first job."""
    trace_size: int
    """Envelopes that the trace remembers; 0: no tracing."""


class Core:
    """The actors of one open store and how to ask them."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        recovered: Recovered,
        images: RecoveredImages,
        staff: Staff,
    ) -> None:
        self.disk = disk
        self.config = config
        self.staff = staff
        self.tracer = Tracer(staff.trace_size)
        self._children = staff.workers > 0
        self._hands: dict[WorkerHands, None] = {}
        self._references = itertools.count(1)
        self._pid = os.getpid()
        self._closing = False
        self._confinement: Confinement | None = None
        self.reaper = Reaper.launch("reaper", self.tracer, make_hands=self._reaper_hands)
        self.pool = DriverPool.launch(
            "pool",
            self.tracer,
            make_hands=self._worker_hands,
            workers=max(staff.workers, 1),
            max_heavy=staff.max_heavy,
            max_queued=staff.max_queued,
            warm=staff.workers if staff.prespawn else 0,
        )
        self.layers = LayerRegistry.launch(
            "layers",
            self.tracer,
            stored=recovered.layers,
            kept=_kept(recovered, images),
            pool=self.pool,
            reaper=self.reaper,
        )
        self.mounts = MountRegistry.launch(
            "mounts",
            self.tracer,
            stored=recovered.mounts,
            cache_ids={layer.chain_id: layer.cache_id for layer in recovered.layers},
            mounted=recovered.mounted,
            layers=self.layers,
            pool=self.pool,
            reaper=self.reaper,
        )
        self.images = ImageRegistry.launch(
            "images",
            self.tracer,
            stored=images.images,
            repositories=images.repositories,
            sizes=_chain_sizes(recovered.layers),
            layers=self.layers,
            pool=self.pool,
        )

    def sweep(self) -> None:
        """Have the trash emptied in the background."""
        self.reaper.tell(m.Sweep(), None, "opening")

    def _worker_hands(self) -> WorkerHands:
        hands = WorkerHands(self.disk, self.config, children=self._children, on_close=self._forget)
        return self._remember(hands)

    def _reaper_hands(self) -> WorkerHands:
        hands = WorkerHands(
            self.disk,
            self.config,
            children=self._children,
            nice=_REAPER_NICENESS,
            on_close=self._forget,
        )
        return self._remember(hands)

    def _remember(self, hands: WorkerHands) -> WorkerHands:
        self._hands[hands] = None
        return hands

    def _forget(self, hands: WorkerHands) -> None:
        self._hands.pop(hands, None)

    @property
    def staff_count(self) -> int:
        """How many workers, the reaper among them, could have a child now."""
        return len(self._hands)

    # Asking

    def new_reference(self) -> int:
        """Return a number that no reference of this store has had."""
        return next(self._references)

    def check_open(self) -> None:
        """Raise StoreClosed where the store can't be used (any more, or in a forked child)."""
        if self._closing or os.getpid() != self._pid:
            raise StoreClosed(self.disk.root)

    def confinement(self) -> Confinement:
        """Return how worker processes are confined, asking one that is spawned for it once."""
        self.check_open()
        if not self._children:
            return Confinement((), ("everything (jobs run in threads of this process)",))
        if self._confinement is None:
            child = ChildProcess(self.config)
            try:
                self._confinement = child.confinement()
            finally:
                child.close()
        return self._confinement

    def call(self, ref: Ref, message: m.Message, timeout: float | None = None) -> Any:
        """Ask an actor and wait for the answer; an interrupted caller's request is undone."""
        self.check_open()
        try:
            return call(ref, message, timeout)
        except (CallTimeout, KeyboardInterrupt):
            self._abandon(ref, message)
            raise

    def _abandon(self, ref: Ref, message: m.Message) -> None:
        if isinstance(message, m.Register | m.GetLayer | m.CreateRWLayer | m.GetRWLayer):
            ref.tell(m.Abandon(reference=message.reference), None, "caller")

    def hand_in(
        self,
        ref: Ref,
        source: Source,
        how: TarSource,
        make_message: Callable[[Handover], m.Message],
        timeout: float | None = None,
    ) -> Any:
        """Ask an actor to have a tar read, pumping it meanwhile where a worker can't read it.

        Where the source fails, what was begun is undone before its error is raised.
        """
        self.check_open()
        given = hand_over(source, how)
        message = make_message(given)
        try:
            request = Call(ref, message, timeout)
            # Nobody reads what is pumped for an actor that never took the request.
            request.accepted()
            if given.pump is not None:
                self._pump(given.pump, request)
            return request.result()
        except StoreClosed:
            _close_all(given.descriptors)
            raise
        except BaseException:
            self._abandon(ref, message)
            raise
        finally:
            if given.pump is not None:
                given.pump.close()

    def _pump(self, pump: Pump, request: Call) -> None:
        try:
            pump.run(lambda: request.seconds_left)
        except CallerError:
            with contextlib.suppress(LayerStoreError):  # it says that the source has failed
                request.result()
            raise

    def stream(self, ref: Ref, make_message: Callable[[Descriptors], m.Message]) -> TarStream:
        """Ask an actor to have a tar written, and return the end to read it from."""
        self.check_open()
        reader, writer = make_pipe()
        stream, sink = OwnedDescriptor(reader), OwnedDescriptor(writer)
        try:
            request = Call(ref, make_message((sink,)))
            request.accepted()
        except StoreClosed:
            _close_all((stream, sink))
            raise
        except BaseException:
            stream.close()
            raise
        return TarStream(request, stream)

    # Closing

    def close(self, *, keep_mounts: bool, timeout: float) -> None:
        """Refuse, drain, stop: see LayerStore.close."""
        if self._closing or os.getpid() != self._pid:
            return
        self._closing = True
        deadline = time.monotonic() + timeout
        failures: dict[str, LayerStoreError] = {}
        try:
            try:
                self._close_books(deadline)
            finally:
                # Only now is no mount under way that would be missed.
                if not keep_mounts:
                    failures = call(self.mounts, m.UnmountAll(), _at_least(5.0, deadline))
        finally:
            self._stop(deadline)
        for error in failures.values():
            raise error

    def _close_books(self, deadline: float) -> None:
        for registry in (self.images, self.mounts, self.layers):
            closing = Call(registry, m.CloseBooks(), max(deadline - time.monotonic(), 0.0))
            try:
                closing.result()
            except CallTimeout:
                self._cut_off(registry, _at_least(5.0, deadline))

    def _cut_off(self, registry: Ref, timeout: float) -> None:
        """End whatever keeps workers busy: a tar that never ends, a stream that nobody reads.

        It loses its child, so that the job fails and is undone. What still waits is refused.
        """
        call(self.pool, m.CutOff())
        deadline = time.monotonic() + timeout
        while True:
            self._kill_children()
            try:
                # A child that was only just being spawned is found the next time.
                call(registry, m.CloseBooks(), timeout=_CUT_OFF_INTERVAL)
            except CallTimeout:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _kill_children(self) -> None:
        for hands in list(self._hands):
            hands.kill()

    def _stop(self, deadline: float) -> None:
        workers: list[Ref] = []
        with contextlib.suppress(StoreClosed):
            workers = call(self.pool, m.StopWorkers())
        staff = [*workers, self.pool, self.images, self.mounts, self.layers, self.reaper]
        for actor in staff:
            actor.stop()
        for actor in staff:
            if not actor.join(max(deadline - time.monotonic(), 0.1)):
                self._kill_children()
                actor.join(1.0)


def _at_least(seconds: float, deadline: float) -> float:
    return max(deadline - time.monotonic(), seconds)


def _close_all(descriptors: Descriptors) -> None:
    """Close descriptors on their way to an actor that has stopped, or has refused them."""
    for descriptor in descriptors:
        descriptor.close()


def _chain_sizes(layers: Iterable[StoredLayer]) -> dict[ChainID, int]:
    """Return the bytes of each layer and all beneath it; parents come before their children."""
    sizes: dict[ChainID, int] = {}
    for layer in layers:
        below = sizes[layer.parent] if layer.parent is not None else 0
        sizes[layer.chain_id] = below + layer.size
    return sizes


def _kept(recovered: Recovered, images: RecoveredImages) -> list[ChainID]:
    """Return the layers that mounts, images and builds keep, each as often as it is kept."""
    known = {layer.chain_id for layer in recovered.layers}
    tops = [image.facts.chain_id for image in images.images]
    parents = [mount.parent for mount in recovered.mounts]
    return [
        chain
        for chain in (*parents, *tops, *recovered.cached)
        if chain is not None and chain in known
    ]
