"""The door: where processes come in that attach to a store, and how many may.

Owns the listening socket; the thread behind it, which serves those who came, is `conversing`'s.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import resource
import select
import socket
import time
from collections.abc import Callable

from layerstore.drivers.errors import DriverError
from layerstore.engine.core import Engine
from layerstore.engine.sharing import place
from layerstore.engine.sharing.connection import Connection
from layerstore.engine.sharing.conversing import Conversations
from layerstore.engine.sharing.wire import PROTOCOL, Owner

log = logging.getLogger("layerstore")

_MOST = 1_000
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 1.0
"""Seconds without another connection once the system has no descriptor left."""


def listen(
    engine: Engine, driver_reason: str, *, door: int | None, required: bool
) -> Listener | None:
    """Listen on the root's socket; the root's lock must be held.

    `driver_reason` says why the root is used with its driver; `door` is the descriptor of a socket
    that listens there already, and stays its giver's.

    Where there can be no socket, that is told in the log and None returned, unless it is
    `required`. Raises DriverError and InvalidArgument then.
    """
    try:
        return Listener(engine, lambda: described(engine, driver_reason), door)
    except DriverError as error:
        if required:
            raise
        log.warning("no other process can attach to the store: %s", error)
        return None


class Listener(Conversations):
    """The socket of one open store, and the thread behind it."""

    def __init__(self, engine: Engine, describe: Callable[[], Owner], door: int | None) -> None:
        """Begin to listen; see `listen`. Raises DriverError, InvalidArgument."""
        self._engine = engine
        self._describe = describe
        self._root = engine.root
        self._lent = door is not None
        self._farewell: queue.SimpleQueue[None] | None = None
        """What rings once everybody is gone, for whoever waits for that."""
        self._gone = False
        """Whether the socket is taken away already."""
        self._shut_until = 0.0
        """When the door is opened again, if it is shut, in seconds of the monotonic clock."""
        self._sock = place.listen(self._root) if door is None else place.take_over(self._root, door)
        try:
            super().__init__("listener")
        except BaseException:
            self._leave()
            raise
        self._poll.register(self._sock, select.EPOLLIN)
        self.begin()

    def see_off(self) -> None:
        """Let nobody else in, and wait until those are gone who came, or it is closed."""
        self._farewell = queue.SimpleQueue()
        # In this order: whoever closes it later than this sees that somebody waits.
        if self._bell is not None:
            self._wake()
            self._farewell.get()

    def close(self) -> None:
        """Cut everybody off, take the socket away and end the thread. Idempotent."""
        if self._bell is not None and os.getpid() == self._pid:
            super().close()
            if not self._gone:
                self._leave()
            self._see_whether_alone()

    def _leave(self) -> None:
        place.unlisten(self._root, self._sock, lent=self._lent)

    # The thread

    def _look_around(self) -> None:
        if self._farewell is not None:
            self._shut()
            return
        if self._patience is not None and time.monotonic() >= self._shut_until:
            self._patience = None
            self._poll.register(self._sock, select.EPOLLIN)

    def _shut(self) -> None:
        """Take the socket away, and say so once nobody is here any more."""
        if not self._gone:
            self._gone = True
            self._patience = None
            self._leave()
        self._see_whether_alone()

    def _ended(self, connection: Connection) -> None:
        super()._ended(connection)
        self._see_whether_alone()

    def _see_whether_alone(self) -> None:
        if self._farewell is not None and not self._connections:
            self._farewell.put(None)

    def _other(self, descriptor: int) -> None:
        """Take those who wait for a connection."""
        while descriptor == self._sock.fileno():
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _OUT_OF:
                    return  # whoever called has hung up
                log.warning("another process can't attach now: %s", error)
                self._poll.unregister(self._sock)
                self._patience, self._shut_until = _PAUSE, time.monotonic() + _PAUSE
                return
            try:
                self._take(sock)
            except OSError as error:
                log.warning("another process can't attach: %s", error)
                sock.close()

    def _take(self, sock: socket.socket) -> None:
        pid, user = place.peer_of(sock)
        connection = Connection(
            sock, self._engine, self._describe, self.ring, self.watching, self.add
        )
        if not place.is_trusted(user):
            connection.cut_off(f"user {user} may not use this store")
        elif len(self._connections) >= _most_connections():
            connection.cut_off("as many processes are attached as may be")
        else:
            log.debug("process %d attaches", pid)
        self.add(connection)


def described(engine: Engine, driver_reason: str) -> Owner:
    """Return what those who attach are told."""
    # Only here: it takes longer to import than opening a store does.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        known = version("layerstore")
    except PackageNotFoundError:  # run from its source
        known = "unknown"
    config = engine.config
    return Owner(
        protocol=PROTOCOL,
        version=known,
        pid=os.getpid(),
        driver=config.driver,
        driver_reason=driver_reason,
        durable=config.durable,
        limits=config.limits,
        confine=config.confine,
        workers=engine.workers,
        open_for=time.monotonic() - engine.since,
    )


def _most_connections() -> int:
    """Return how many there may be, which leaves descriptors for the work itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 2)
