"""The command's verb `serve`, which keeps a store open for others; returns the exit status.

Owns the order: open, say so, wait for a signal, say so, close.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from layerstore.actors import messages as m
from layerstore.api.store import LayerStore
from layerstore.command.interrupts import Interrupted, waiting
from layerstore.command.opening import owned
from layerstore.command.systemd import Systemd
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.system.printable import escaped

_ENDED_BY = (signal.SIGTERM, signal.SIGINT)


def serve(options: argparse.Namespace) -> int:
    """Keep a store open until a signal ends that."""
    systemd = Systemd()
    try:
        with systemd.passed() as sock, owned(options, sock or "required") as store:
            try:
                _serve(store, systemd)
            finally:
                systemd.tell("STOPPING=1", "STATUS=closing the store")
    except Interrupted as interrupted:
        if interrupted.number not in _ENDED_BY:
            raise
    return 0


def _serve(store: LayerStore, systemd: Systemd) -> None:
    root = escaped(store.root)
    with waiting() as wait:
        print(f"{root} is open, with {store.driver_name}, by process {os.getpid()}")
        sys.stdout.flush()
        systemd.tell("READY=1", f"STATUS={root} is open, with {store.driver_name}")
        while True:
            wait(systemd.wants_signs)
            if systemd.wants_signs is not None and answers(store, systemd.wants_signs):
                systemd.tell("WATCHDOG=1")


def answers(store: LayerStore, seconds: float) -> bool:
    """Whether the store's actors answer; where they don't, systemd has it started again."""
    try:
        store.core.call(store.core.actors.pool, m.PoolStatus(), seconds)
    except LayerStoreError:
        return False
    return True
