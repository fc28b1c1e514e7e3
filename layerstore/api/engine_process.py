"""The engine's own process: what it does from its start to its end.

Owns the order of that. How it is asked and answers is `hosting`'s, what it knows from an engine
before it is in the `notes`.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys

from layerstore.api.owned import Opening, Owned
from layerstore.drivers.errors import LayerStoreError, to_wire
from layerstore.drivers.root.lock import RootLock
from layerstore.drivers.system.collected_log import collected
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    convert,
    receive_frame,
    send_frame,
)
from layerstore.engine.core import Outliving
from layerstore.engine.own_process.hosting import Host
from layerstore.engine.own_process.notes import OTHERS_FROM, Notes
from layerstore.engine.sharing.listening import described

_LEFT_TO_EMBEDDER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(fd: str, lock: str, notes: str, parent: str) -> None:
    """Open a store as the process with ID `parent` says, and serve it until it closes that or ends.

    The others are numbers of descriptors: the socket, the root's lock, and the notes.
    """
    sock = socket.socket(fileno=int(fd))
    embedder = os.pidfd_open(int(parent))
    if os.getppid() != int(parent):
        sys.exit(1)
    for number in _LEFT_TO_EMBEDDER:
        signal.signal(number, lambda *_: None)  # not ignored, which children would inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    try:
        request, _ = receive_frame(sock)
        level, how = convert(request, tuple[int, Opening])
    except (EndOfFrames, ConnectionResetError):
        return
    except BadFrame as error:
        sys.exit(f"layerstore engine: bad frame: {error}")
    # Processes that attach, their tars and the embedder's share the descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    log = logging.getLogger("layerstore")
    log.setLevel(level)
    log.propagate = False
    _serve(sock, embedder, how, int(lock), Notes(int(notes)))


def _serve(sock: socket.socket, embedder: int, how: Opening, lock: int, notes: Notes) -> None:
    outliving = Outliving(retained=notes.retained, references_from=OTHERS_FROM)
    failure: LayerStoreError | None = None
    with collected() as lines:
        try:
            shared = RootLock.shared(how.root, lock)
            owned = Owned(how, lock=shared, outliving=outliving)
            notes.begun()
        except LayerStoreError as error:
            failure = error
    for level, line in lines:
        send_frame(sock, ["log", level, line])
    if failure is not None:
        send_frame(sock, ["failed", to_wire(failure, "the engine")])
        return
    host = Host(sock, embedder, owned.core, lambda: described(owned.core, owned.driver_reason))
    order = host.orders.get()
    failed: LayerStoreError | None = None
    try:
        owned.close(
            keep_mounts=order.keep_mounts, keep_trash=order.keep_trash, timeout=order.timeout
        )
    except LayerStoreError as error:
        failed = error
    host.closed(order, failed)
