"""Closing a store: finishing what is under way, cutting off what doesn't end, unmounting.

Owns the order and how the time is shared out. Stopping the actors afterwards is somebody else's.
"""

from __future__ import annotations

import time

from layerstore.actors import messages as m
from layerstore.actors.books.retained import Retained
from layerstore.actors.runtime.base import log
from layerstore.actors.runtime.calls import Call, call
from layerstore.actors.runtime.ref import Ref
from layerstore.drivers.errors import CallTimeout, LayerStoreError, StoreClosed, StoreRestarted
from layerstore.drivers.root.disk import Disk
from layerstore.engine.generations import Generations

_CUT_OFF_INTERVAL = 0.1
_CUT_OFF_SHARE = 0.2
"""Of the time that closing may take, for cutting off what isn't finished by then."""
_ATTEMPTS = 3


def wind_up(
    actors: Generations, *, keep_mounts: bool, deadline: float
) -> dict[str, LayerStoreError] | None:
    """Finish what is under way and unmount, once more where an actor dies in the middle of it.

    Returns the names that can't be unmounted, and why; None where there are no actors to do it.
    `deadline` is in seconds of the monotonic clock.
    """
    for _ in range(_ATTEMPTS):
        try:
            actors.current(actors.mounts, _at_least(1.0, deadline))
            try:
                _close_books(actors, deadline)
            finally:
                # Only now is no mount under way that would be missed.
                failures: dict[str, LayerStoreError] = {}
                if not keep_mounts:
                    failures = call(actors.mounts, m.UnmountAll(), _at_least(5.0, deadline))
            for error in failures.values():
                if isinstance(error, StoreRestarted):  # whoever was to unmount it has died
                    raise error
            return failures
        except StoreRestarted as error:
            log.warning("while the store is being closed: %s", error)
        except StoreClosed as error:
            log.warning("%s, and without its actors", error)
            break
    return None


def unmount_by_hand(disk: Disk, retained: Retained) -> dict[str, LayerStoreError]:
    """Unmount what was mounted through a store whose actors have died; as wind_up."""
    known = retained.mounts.mounted
    failures: dict[str, LayerStoreError] = {}
    for mount_id in disk.driver.mounted():
        if mount_id not in known or known[mount_id].here:
            try:
                disk.driver.put(mount_id)
            except LayerStoreError as error:
                failures[mount_id] = error
    return failures


def _close_books(actors: Generations, deadline: float) -> None:
    cut_off_at = deadline - _at_least(0.0, deadline) * _CUT_OFF_SHARE
    for registry in (actors.images, actors.mounts, actors.layers):
        closing = Call(registry, m.CloseBooks(), _at_least(0.0, cut_off_at))
        try:
            closing.result()
        except CallTimeout:
            _cut_off(actors, registry, _at_least(5.0, deadline))


def _cut_off(actors: Generations, registry: Ref, timeout: float) -> None:
    """End whatever keeps workers busy: a tar that never ends, a stream that nobody reads.

    It loses its child, so that the job fails and is undone. What still waits is refused.
    """
    call(actors.pool, m.CutOff())
    deadline = time.monotonic() + timeout
    while True:
        actors.kill_children()
        try:
            # A child that was only just being spawned is found the next time.
            call(registry, m.CloseBooks(), timeout=_CUT_OFF_INTERVAL)
        except CallTimeout:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _at_least(seconds: float, deadline: float) -> float:
    return max(deadline - time.monotonic(), seconds)
