"""One thread that serves connections, and what becomes of one that does what it shouldn't.

Owns the connections. One that sends what it shouldn't or doesn't read its answers is cut off, and
nobody else notices. Where connections come from is for others; so is what may be asked (`wire`,
`serving`).
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.frames import BadFrame, EndOfFrames
from layerstore.drivers.work import OwnedDescriptor
from layerstore.engine.sharing.connection import Connection
from layerstore.engine.sharing.watching import Watching

log = logging.getLogger("layerstore")


class Conversations:
    """Connections, and the thread behind them; `name` is the thread's."""

    def __init__(self, name: str) -> None:
        """Make the thread, which `begin` starts. Raises DriverError."""
        try:
            bell = OwnedDescriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        except OSError as error:
            raise DriverError.from_os_error("make", "an event descriptor", error) from error
        self._pid = os.getpid()
        self._bell: OwnedDescriptor | None = bell
        self._closing = False
        self._patience: float | None = None
        """Seconds until the thread looks around though nothing has come; None: for ever."""
        self._connections: dict[int, Connection] = {}
        """By their descriptor's number."""
        self.watching = Watching(self._wake)
        """Those that are told what the store does."""
        self._changed: deque[Connection] = deque()
        """Those that have got something to send, from any thread."""
        self._poll = select.epoll()
        self._poll.register(bell, select.EPOLLIN | select.EPOLLET)  # rung, it needn't be read
        # Only what is asked for ends with it, so it keeps no interpreter from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def begin(self) -> None:
        """Start to serve."""
        self._thread.start()

    def close(self) -> None:
        """Cut everybody off and end the thread. Idempotent."""
        bell = self._bell
        if bell is None or os.getpid() != self._pid:
            return
        self._closing = True
        os.eventfd_write(bell.fileno(), 1)
        self._thread.join()
        self._poll.close()
        self._bell = None

    def ring(self, connection: Connection) -> None:
        """Have a connection looked at; from any thread, also when nobody serves any more."""
        self._changed.append(connection)
        self._wake()

    def _wake(self) -> None:
        bell = self._bell  # which isn't closed as long as anybody has it
        if bell is not None:
            os.eventfd_write(bell.fileno(), 1)

    # The thread

    def _run(self) -> None:
        while not self._closing:
            waits = [each for each in (self._patience, self.watching.patience) if each is not None]
            found = self._poll.poll(min(waits, default=None))
            self._look_around()
            for fd, events in found:
                if fd in self._connections:  # not ended by what came before it
                    self._serve(self._connections[fd], events)
                else:
                    self._other(fd)
            self.watching.send_if_due()
            self._look_at_changed()
        for connection in list(self._connections.values()):
            self._end(connection)

    def _look_around(self) -> None:
        """Do what is to be done each time that something has come, or patience is over."""

    def _other(self, descriptor: int) -> None:
        """Look at something else that is polled: the bell, or what has just ended."""

    def _ended(self, connection: Connection) -> None:
        """Take note of a connection's end."""

    def add(self, connection: Connection) -> None:
        """Serve a connection from now on; in the thread, or before it begins. Raises OSError."""
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
        if connection.over and connection.said_all:
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
            for line in list(connection.lines):
                self._end(line)
            self._ended(connection)
