"""The owner's end: one thread that listens for processes which attach to its store.

Owns the connections, how many there may be, and what becomes of one that sends what it shouldn't or
doesn't read its answers: it is cut off, and nobody else notices. What a process may ask is `wire`'s
and `serving`'s.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import select
import socket
import threading
from collections import deque
from collections.abc import Callable

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.frames import BadFrame, EndOfFrames
from layerstore.drivers.work import OwnedDescriptor
from layerstore.engine.core import Engine
from layerstore.engine.sharing import place
from layerstore.engine.sharing.connection import Connection
from layerstore.engine.sharing.wire import PROTOCOL, Owner

log = logging.getLogger("layerstore")

_MOST = 1_000
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 1.0
"""Seconds without another connection once the system has no descriptor left."""


def listen(engine: Engine, driver_reason: str) -> Listener | None:
    """Listen on the root's socket; the root's lock must be held.

    `driver_reason` says why the root is used with its driver.

    Where there can be no socket that is told in the log, and None returned.
    """
    try:
        return Listener(engine, lambda: _described(engine, driver_reason))
    except DriverError as error:
        log.warning("no other process can attach to the store: %s", error)
        return None


class Listener:
    """The socket of one open store, and the thread behind it."""

    def __init__(self, engine: Engine, describe: Callable[[], Owner]) -> None:
        """Begin to listen. Raises DriverError."""
        self._engine = engine
        self._describe = describe
        self._root = engine.disk.root
        self._pid = os.getpid()
        self._sock = place.listen(self._root)
        self._connections: dict[int, Connection] = {}
        """By their descriptor's number."""
        self._changed: deque[Connection] = deque()
        """Those that have got something to send, from any thread."""
        self._closing = False
        self._full = False
        """The system has no descriptor left for another connection."""
        try:
            bell = OwnedDescriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        except OSError as error:
            place.unlisten(self._root, self._sock)
            raise DriverError.from_os_error("make", "an event descriptor", error) from error
        self._bell: OwnedDescriptor | None = bell
        self._poll = select.epoll()
        self._poll.register(bell, select.EPOLLIN | select.EPOLLET)  # rung, it needn't be read
        self._poll.register(self._sock, select.EPOLLIN)
        # Only what is asked for ends with it, so it keeps no interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cut everybody off, take the socket away and end the thread. Idempotent."""
        bell = self._bell
        if bell is None or os.getpid() != self._pid:
            return
        self._closing = True
        os.eventfd_write(bell.fileno(), 1)
        self._thread.join()
        place.unlisten(self._root, self._sock)
        self._poll.close()
        self._bell = None

    def _ring(self, connection: Connection) -> None:
        """Have a connection looked at; from any thread, also when nobody listens any more."""
        self._changed.append(connection)
        bell = self._bell  # which isn't closed as long as anybody has it
        if bell is not None:
            os.eventfd_write(bell.fileno(), 1)

    # The thread

    def _run(self) -> None:
        door = self._sock.fileno()
        while not self._closing:
            found = self._poll.poll(_PAUSE if self._full else None)
            if self._full:
                self._full = False
                self._poll.register(door, select.EPOLLIN)
            for fd, events in found:
                if fd == door:
                    self._accept()
                elif fd in self._connections:  # not ended by what came before it
                    self._serve(self._connections[fd], events)
            self._look_at_changed()
        for connection in list(self._connections.values()):
            self._end(connection)

    def _accept(self) -> None:
        """Take those who wait for a connection."""
        while True:
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _OUT_OF:
                    return  # whoever called has hung up
                log.warning("another process can't attach now: %s", error)
                self._poll.unregister(self._sock)
                self._full = True
                return
            try:
                self._take(sock)
            except OSError as error:
                log.warning("another process can't attach: %s", error)
                sock.close()

    def _take(self, sock: socket.socket) -> None:
        pid, user = place.peer_of(sock)
        connection = Connection(sock, self._engine, self._describe, self._ring)
        if not place.is_trusted(user):
            connection.cut_off(f"user {user} may not use this store")
        elif len(self._connections) >= _most_connections():
            connection.cut_off("as many processes are attached as may be")
        else:
            log.debug("process %d attaches", pid)
        self._poll.register(connection.number, select.EPOLLIN)
        self._connections[connection.number] = connection
        self._flush(connection)

    def _look_at_changed(self) -> None:
        while self._changed:
            connection = self._changed.popleft()
            if self._connections.get(connection.number) is connection:
                self._guarded(connection, connection.answer)
                self._flush(connection)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & ~select.EPOLLOUT:
            self._guarded(connection, connection.receive)
        self._flush(connection)

    def _guarded(self, connection: Connection, do: Callable[[], None]) -> None:
        """Do something for a connection; what goes wrong with that is its end alone."""
        try:
            do()
        except BadFrame as error:
            log.warning("an attached process is cut off: %s", error)
            connection.cut_off(str(error))
        except (EndOfFrames, OSError):
            self._end(connection)
        except Exception:
            log.exception("an attached process is cut off")
            connection.cut_off("an internal error of the store's owner")

    def _flush(self, connection: Connection) -> None:
        if connection.number not in self._connections:
            return  # ended just now
        try:
            sent = connection.flush()
        except OSError:
            self._end(connection)
            return
        if connection.over:
            self._end(connection)
            return
        if connection.blocked is sent:
            connection.blocked = not sent
            wanted = select.EPOLLIN | (0 if sent else select.EPOLLOUT)
            self._poll.modify(connection.number, wanted)

    def _end(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is not None:
            self._poll.unregister(connection.number)
            connection.close()


def _described(engine: Engine, driver_reason: str) -> Owner:
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
    )


def _most_connections() -> int:
    """Return how many there may be, which leaves descriptors for the work itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 2)
