"""The crew: one generation of an open store's actors, from their launch to their threads' end.

Owns those threads, the workers' hands and what is known of a death. Whether others come after it is
for others to decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from layerstore.actors import messages as m
from layerstore.actors.books.retained import Mounted, Retained
from layerstore.actors.registries.images import ImageRegistry
from layerstore.actors.registries.layers import LayerRegistry
from layerstore.actors.registries.mounts import MountRegistry
from layerstore.actors.runtime.base import log
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.ref import Ref
from layerstore.actors.watching.trace import Tracer
from layerstore.actors.workers.lane import Lane
from layerstore.actors.workers.pool import DriverPool
from layerstore.actors.workers.reaper import Reaper
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.ids import ChainID, new_transaction
from layerstore.drivers.model.stored import StoredLayer
from layerstore.drivers.records.imagedb import RecoveredImages
from layerstore.drivers.root.disk import Disk, DiskConfig
from layerstore.drivers.root.removal import remove_mount
from layerstore.drivers.upkeep.recovery import Recovered
from layerstore.drivers.userns.ranges import id_pool
from layerstore.drivers.work import RemoveMount
from layerstore.drivers.worker.hands import WorkerHands
from layerstore.drivers.worker.sweeping_hands import SweepingHands
from layerstore.engine.stacks import stack_of

_LOOK_UP = 0.1


class Staff(Struct, frozen=True, kw_only=True):
    """How many workers there are, and what they may take on."""

    workers: int
    """Short jobs that run at once, and children kept ready; 0: one worker without a child."""
    max_heavy: int
    """Heavy jobs that run at once, a child each."""
    max_queued: int
    """Jobs that wait before StoreBusy is raised."""
    prespawn: bool
    """Spawn the children when the store is opened, not at their first job."""
    tracer: Tracer
    """Takes down what the actors say; a repair goes on with it."""
    switch_journal: Callable[[str | None], Notifying[None]]
    """Has what is traced from now on written to a journal, or to none."""
    stall_after: float
    """Seconds after which the log tells of a request without an answer; 0: never."""
    id_ranges: str | None = None
    """What user IDs of layers' own are handed out of; see LayerStore."""


class Found(Struct, frozen=True, kw_only=True):
    """What the disk holds."""

    recovered: Recovered
    images: RecoveredImages
    to_sweep: bool
    """Something lies in the trash."""


class Crew:
    """The actors, and what they work with; watches over them."""

    def __init__(
        self,
        disk: Disk,
        config: DiskConfig,
        staff: Staff,
        on_loss: Callable[[str], LayerStoreError],
    ) -> None:
        """Make a crew without actors.

        `on_loss` is called with the first actor that died whenever another meets a dead one, and
        returns what those who wait are told.
        """
        self._disk = disk
        self._config = config
        self._staff = staff
        self._tracer = staff.tracer
        self._on_loss = on_loss
        self._actors: dict[Ref, None] = {}
        self._hands: dict[WorkerHands, None] = {}
        self._ending = False
        self.dead: str | None = None
        """The first actor that died, if one has."""

    def launch(self, found: Found, retained: Retained) -> None:
        """Start the actors with what the disk holds and what callers do.

        After an error those that were started have to be ended.
        """
        recovered, images = found.recovered, found.images
        undone = _undo_creations(self._disk, recovered, retained)
        strays = _strays(recovered, retained)
        self.reaper = Reaper.launch("reaper", self._tracer, self, make_hands=self._reaper_hands)
        lane = Lane(
            self._tracer,
            pool="pool",
            at_once=max(self._staff.workers, 1),
            max_queued=self._staff.max_queued,
        )
        self.pool = DriverPool.launch(
            "pool",
            self._tracer,
            self,
            make_hands=self._worker_hands,
            lane=lane,
            max_heavy=self._staff.max_heavy,
            max_queued=self._staff.max_queued,
            warm=self._staff.workers if self._staff.prespawn else 0,
        )
        self.layers = LayerRegistry.launch(
            "layers",
            self._tracer,
            self,
            stored=recovered.layers,
            kept=_kept(recovered, images),
            retained=retained.layers,
            max_layers=self._config.limits.max_layers,
            pool=self.pool,
            lane=lane,
            reaper=self.reaper,
        )
        self.mounts = MountRegistry.launch(
            "mounts",
            self._tracer,
            self,
            stored=recovered.mounts,
            cache_ids={layer.chain_id: layer.cache_id for layer in recovered.layers},
            origins=recovered.origins,
            strays=strays,
            retained=retained.mounts,
            id_pool=id_pool(self._staff.id_ranges),
            layers=self.layers,
            pool=self.pool,
            lane=lane,
            reaper=self.reaper,
        )
        self.images = ImageRegistry.launch(
            "images",
            self._tracer,
            self,
            stored=images.images,
            repositories=images.repositories,
            sizes=_chain_sizes(recovered.layers),
            layers=self.layers,
            pool=self.pool,
            lane=lane,
        )
        if found.to_sweep or undone:
            self.reaper.tell(m.Sweep(), None, "opening")

    # Watching

    def launched(self, ref: Ref) -> None:
        """See Watch."""
        for other in [other for other in list(self._actors) if other.ended]:
            self._actors.pop(other, None)
        self._actors[ref] = None
        if self._ending:
            ref.stop()

    def lost(self, name: str) -> LayerStoreError:
        """See Watch."""
        first = self.dead or name
        error = self._on_loss(first)
        self.dead = first  # from now on callers wait for whoever comes after
        return error

    # Hands

    def _worker_hands(self) -> WorkerHands:
        children = self._staff.workers > 0
        hands = WorkerHands(self._disk, self._config, children=children, on_close=self._forget)
        self._hands[hands] = None
        return hands

    def _reaper_hands(self, is_awaited: Callable[[], bool]) -> SweepingHands:
        self._reapers = SweepingHands(
            self._disk,
            self._config,
            is_awaited=is_awaited,
            children=self._staff.workers > 0,
            on_close=self._forget,
        )
        self._hands[self._reapers] = None
        return self._reapers

    def leave_trash(self) -> None:
        """Delete no more of what was removed than takes no time."""
        self._reapers.retire()

    def _forget(self, hands: WorkerHands) -> None:
        self._hands.pop(hands, None)

    @property
    def hands_count(self) -> int:
        """How many workers, the reaper among them, could have a child now."""
        return len(self._hands)

    def kill_children(self) -> None:
        """Kill every child in the middle of whatever it does."""
        for hands in list(self._hands):
            hands.kill()

    # Ending

    def end(self, deadline: float, grace: float) -> bool:
        """Stop the actors and wait for their threads; whether all have ended.

        After `deadline`, in seconds of the monotonic clock, children are killed; `grace` seconds
        later nobody is waited for any more: what hangs in a system call can't be ended.
        """
        self._ending = True  # whoever is launched from now on has to stop as well
        for actor in list(self._actors):
            actor.stop()
        last = max(deadline, time.monotonic()) + grace
        while left := [actor for actor in list(self._actors) if not actor.ended]:
            now = time.monotonic()
            if now > last:
                _tell_of(left)
                return False
            if now >= deadline:
                self.kill_children()
                left[0].join(_LOOK_UP)
            else:
                left[0].join(deadline - now)
        for actor in list(self._actors):
            actor.discard_mail()  # sent by one that didn't know yet that it has ended
        return True


def _tell_of(actors: Iterable[Ref]) -> None:
    """Say in the log where the threads are at that don't end."""
    for actor in actors:
        glance = actor.look()
        child = f" (child {glance.child})" if glance is not None and glance.child else ""
        stack = "\n".join(stack_of(actor.thread))
        log.error("%s%s doesn't end; its thread is at\n%s", actor.name, child, stack)


def _undo_creations(disk: Disk, recovered: Recovered, retained: Retained) -> bool:
    """Remove what was made for callers that never heard of it, so that its name is free again.

    Returns whether there was anything.
    """
    unanswered = retained.mounts.unanswered.difference(retained.mounts.held.values())
    undone = [mount for mount in recovered.mounts if mount.mount_id in unanswered]
    for mount in undone:
        removal = RemoveMount(
            name=mount.name,
            mount_id=mount.mount_id,
            init_id=mount.init_id,
            transaction=new_transaction(),
        )
        try:
            remove_mount(disk, removal)
        except LayerStoreError as error:
            log.warning("mount %s is left, which nobody has: %s", mount.name, error)
        else:
            recovered.mounts.remove(mount)
    retained.mounts.unanswered.clear()
    return bool(undone)


def _strays(recovered: Recovered, retained: Retained) -> set[str]:
    """Return the IDs of what is mounted though nobody knows to have it.

    What is mounted when the store is opened was so before, and whoever wants it finds it.
    """
    mounted = retained.mounts.mounted
    if retained.fresh:
        retained.fresh = False
        mounted.update(
            {key: Mounted(1, path, here=False) for key, path in recovered.mounted.items()}
        )
    return recovered.mounted.keys() - mounted.keys()


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
