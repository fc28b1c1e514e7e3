"""Opening the store for the length of one command.

Owns how a command works with a store that another process has open, or waits for it, and what it
leaves to others: mounts, and what it has removed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from layerstore.api.store import LayerStore
from layerstore.drivers.errors import CannotAttach, OwnersAlone, StoreDoesNotExist, StoreLocked
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.root.lock import is_locked

if TYPE_CHECKING:
    import socket


@contextlib.contextmanager
def opened(options: argparse.Namespace, *, patience: float = 0.0) -> Iterator[LayerStore]:
    """Open the store that the options name, for a `with` block; mounts outlive it.

    Where another process has it open and listens, the command attaches to that. What lies in the
    trash in the end is left to a process of low priority, or to the owner.

    Raises StoreDoesNotExist, StoreLocked where another process that doesn't listen keeps it for
    longer than `options.wait` and `patience` seconds, OwnersAlone for options that are the owner's
    to choose, and what LayerStore raises.
    """
    _check_is_there(options)
    as_root_of_its_own(options.root)
    store = _patiently(max(options.wait, patience), lambda: _open(options))
    attached = store.owner is not None
    try:
        yield store
    finally:
        store.close(keep_mounts=True, keep_trash=options.recover)
        if options.recover and not attached:
            _leave_trash(store.root)


@contextlib.contextmanager
def owned(
    options: argparse.Namespace, listen: Literal["required"] | socket.socket
) -> Iterator[LayerStore]:
    """Open the store for others, for a `with` block; otherwise as `opened`.

    Raises StoreLocked where another process keeps it for longer than `options.wait` seconds.
    """
    as_root_of_its_own(options.root)
    store = _patiently(options.wait, lambda: _own(options, listen))
    try:
        yield store
    finally:
        store.close(keep_mounts=True, keep_trash=True)
        _leave_trash(store.root)


@contextlib.contextmanager
def watched(options: argparse.Namespace) -> Iterator[LayerStore]:
    """Attach to the store that another process has open, for a `with` block, to look at it.

    Raises CannotAttach where nobody has it open, or lets nobody attach; OwnersAlone as `opened`.
    """
    try:
        store = LayerStore.attach(options.root)
    except CannotAttach as error:
        reason = f"{error.reason}, so there is nothing to see"
        raise CannotAttach(error.root, reason) from error
    try:
        _check(store, options)
        yield store
    finally:
        store.close(keep_mounts=True)


def as_root_of_its_own(root: str) -> None:
    """Enter a user namespace, for an ordinary user's store, where that can be.

    Where it can't, choosing a driver tells why, and so does info. Raises DriverError.
    """
    user = os.geteuid()
    if not user or not _is_own(root, user):
        return
    # Only here: root's commands, which are most, need none of it.
    from layerstore.api.user_namespace import enter_user_namespace  # noqa: PLC0415
    from layerstore.drivers.errors import NotPermitted  # noqa: PLC0415

    try:
        enter_user_namespace(root)
    except NotPermitted:
        if os.geteuid() != user:  # it is in one that is good for nothing
            raise


def _is_own(root: str, user: int) -> bool:
    """Whether a store is a user's own, or is to be; somebody else's has its own ways."""
    try:
        return os.stat(root).st_uid == user
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _leave_trash(root: str) -> None:
    from layerstore.drivers.worker.sweeper import leave_trash  # noqa: PLC0415 - owners have any

    leave_trash(root)


def _check_is_there(options: argparse.Namespace) -> None:
    """Raise StoreDoesNotExist where there is nothing of a store, and none is to be made."""
    parts = (f"{options.root}/layerstore", f"{options.root}/image")
    if not options.makes and not any(map(os.path.isdir, parts)):
        raise StoreDoesNotExist(options.root)


def _patiently(seconds: float, opening: Callable[[], LayerStore]) -> LayerStore:
    """Open the store, for some seconds where another process has it. Raises StoreLocked."""
    deadline = time.monotonic() + seconds
    try:
        return opening()
    except StoreLocked:
        left = deadline - time.monotonic()
        if left <= 0:
            raise
    # Only here: most roots are nobody's, or somebody's who listens.
    from tenacity import (  # noqa: PLC0415
        Retrying,
        retry_if_exception_type,
        stop_after_delay,
        wait_random_exponential,
    )

    again = Retrying(
        retry=retry_if_exception_type(StoreLocked),
        wait=wait_random_exponential(multiplier=0.01, max=0.2),
        stop=stop_after_delay(left),
        reraise=True,
    )
    return again(opening)


def _own(options: argparse.Namespace, listen: Literal["required"] | socket.socket) -> LayerStore:
    return LayerStore(
        options.root,
        driver=options.driver,
        durability=options.durability or "durable",
        limits=Limits(**dict(options.limits)),
        confine=options.confine or "auto",
        workers=options.workers,
        trace_file=options.trace,
        listen=listen,
        id_ranges=_id_ranges(options),
    )


def _open(options: argparse.Namespace) -> LayerStore:
    """Attach to the store of whoever has it open, or open it: much more is imported for that."""
    cause: CannotAttach | None = None
    if is_locked(os.path.realpath(options.root)):
        try:
            return _attach(options)
        except CannotAttach as error:
            cause = error
    try:
        return LayerStore(
            options.root,
            driver=options.driver,
            durability=options.durability or "durable",
            limits=Limits(**dict(options.limits)),
            confine=options.confine or "auto",
            prespawn=False,
            trace_size=0,
            stall_after=0.0,
            trace_file=options.trace,
            recover=options.recover,
            id_ranges=_id_ranges(options),
            # It is gone in a moment, and whoever attached would have to begin again.
            listen=False,
        )
    except StoreLocked as locked:
        raise locked from cause


def _id_ranges(options: argparse.Namespace) -> str | None:
    return options.id_ranges or os.environ.get("LAYERSTORE_ID_RANGES") or None


def _attach(options: argparse.Namespace) -> LayerStore:
    store = LayerStore.attach(options.root)
    try:
        _check(store, options)
    except BaseException:
        store.close(keep_mounts=True)
        raise
    return store


def _check(store: LayerStore, options: argparse.Namespace) -> None:
    """Raise OwnersAlone for an option that was given and isn't as the owner has it."""
    owner = store.owner
    if owner is None:
        return
    wanted = {
        "--driver": (options.driver, owner.driver),
        "--durability": (options.durability, "durable" if owner.durable else "relaxed"),
        "--confine": (options.confine, owner.confine),
        "--limit": (replace(owner.limits, **dict(options.limits)), owner.limits),
        "--trace": (options.trace, None),
        "--id-ranges": (options.id_ranges, None),
    }
    for option, (given, there) in wanted.items():
        if given is not None and given != there:
            raise OwnersAlone(f"choosing {option}", store.root, owner.pid)
