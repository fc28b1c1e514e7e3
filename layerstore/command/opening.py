"""Opening the store for the length of one command.

Owns how long a command waits for another one that has the root open, and what it leaves to others:
mounts, and what it has removed.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from layerstore.api.store import LayerStore
from layerstore.drivers.errors import StoreLocked
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.worker.sweeper import leave_trash


@contextlib.contextmanager
def opened(options: argparse.Namespace, *, patience: float = 0.0) -> Iterator[LayerStore]:
    """Open the store that the options name, for a `with` block; mounts outlive it.

    What lies in the trash then is left to a process of low priority.

    Raises StoreLocked where another process keeps it for longer than `options.wait` and `patience`
    seconds, and what LayerStore raises.
    """
    patiently = Retrying(
        retry=retry_if_exception_type(StoreLocked),
        wait=wait_random_exponential(multiplier=0.01, max=0.2),
        stop=stop_after_delay(max(options.wait, patience)),
        reraise=True,
    )
    store = patiently(
        LayerStore,
        options.root,
        driver=options.driver,
        durability=options.durability,
        limits=Limits(**dict(options.limits)),
        confine=options.confine,
        prespawn=False,
        trace_size=0,
        stall_after=0.0,
        trace_file=options.trace,
        recover=options.recover,
    )
    try:
        yield store
    finally:
        store.close(keep_mounts=True, keep_trash=options.recover)
        if options.recover:
            leave_trash(store.root)
