"""Connections that end when they are told to, whatever they are at.

Owns how a socket is made and watched, and that no log has where it leads; the rest of a connection
is urllib3's.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.response import HTTPResponse

from layerstore.images.registry.stop import Stop
from layerstore.images.registry.wire.pace import PacedResponse
from layerstore.images.registry.wire.patience import Patience


class Watch:
    """One socket that is shut down when a stop is told, until `end`.

    It has a descriptor of its own for that: the socket's number may be another file's by then.
    """

    __slots__ = ("_fd", "_key", "_stop")

    def __init__(self, stop: Stop, sock: socket.socket) -> None:
        self._stop = stop
        self._fd = os.dup(sock.fileno())
        self._key = stop.add(self._shut)

    def end(self) -> None:
        """Watch no longer; again does nothing."""
        if self._stop.remove(self._key):
            os.close(self._fd)

    def _shut(self) -> None:
        with socket.socket(fileno=self._fd) as same, suppress(OSError):
            same.shutdown(socket.SHUT_RDWR)


class Exchange:
    """What a thread's connections go by while it asks: a context manager."""

    def __init__(self, stop: Stop, patience: Patience) -> None:
        self.stop = stop
        self.patience = patience

    def __enter__(self) -> None:
        # What is sent may come from another registry, which is asked meanwhile.
        self._outer = getattr(_here, "exchange", None)
        _here.exchange = self

    def __exit__(self, *_: object) -> None:
        _here.exchange = self._outer


_here = threading.local()


def _exchange() -> Exchange:
    found: Exchange = _here.exchange
    return found


class _Untold(logging.Filter):
    """Keeps what is asked here out of urllib3's log: a storage's URLs are as good as a password."""

    def filter(self, _record: logging.LogRecord) -> bool:
        return getattr(_here, "exchange", None) is None


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_Untold())


class _Watched(HTTPConnection):
    """A connection that is watched from before it is made until its answer is there.

    Whoever reads the answer then takes the watch over: the next one that the connection serves may
    go by another stop.
    """

    watch: Watch | None = None
    _is_answering = False

    def _new_conn(self) -> socket.socket:
        self._unwatch()
        try:
            host = self._dns_host.strip("[]")
            addresses = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, reason) from error
        return self._connected(addresses)

    def _connected(self, addresses: Sequence[Any]) -> socket.socket:
        failure: OSError = OSError("it has no address")
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connect(sock, address)
                return sock
            except BaseException as error:
                sock.close()
                self._unwatch()
                if not isinstance(error, OSError):
                    raise
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "no connection in time") from failure
        raise NewConnectionError(self, str(failure)) from failure

    def _connect(self, sock: socket.socket, address: Any) -> None:
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in (0, errno.EINPROGRESS):
            # Not earlier, as only what connects by now is ended by being shut down.
            self.watch = Watch(_exchange().stop, sock)
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            if not poll.poll(None if self.timeout is None else self.timeout * 1000):
                raise TimeoutError
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        sock.settimeout(self.timeout)

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(_exchange().patience.silence)
        # urllib3 warns of what isn't, but that was asked for.
        self.is_verified = True

    def request(self, *args: Any, **options: Any) -> None:
        if self.watch is None and self.sock is not None:
            self.watch = Watch(_exchange().stop, self.sock)
        super().request(*args, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        # The connection closes itself where it is the last answer, but that is still to be read.
        self._is_answering = True
        made: list[PacedResponse] = []

        def make(*args: Any, **options: Any) -> PacedResponse:
            made.append(PacedResponse(_exchange().patience, *args, **options))
            return made[-1]

        self.response_class = make  # type: ignore[assignment] # http.client calls it as its class
        try:
            return super().getresponse()
        except BaseException:
            # urllib3 forgets it where it doesn't like what the head says.
            for response in made:
                response.close()
            raise
        finally:
            self._is_answering = False
            made.clear()

    def close(self) -> None:
        super().close()
        if not self._is_answering:
            self._unwatch()

    def taken_watch(self) -> Watch | None:
        """Return the watch, which the caller ends from now on."""
        watch, self.watch = self.watch, None
        return watch

    def _unwatch(self) -> None:
        watch = self.taken_watch()
        if watch is not None:
            watch.end()


class _WatchedByTLS(_Watched, HTTPSConnection):
    """The same for TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedByTLS


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TLSPool}
"""The classes of pools, by scheme, whose connections end when an exchange's stop is told."""


def taken_watch(connection: object) -> Watch | None:
    """Take over the watch of a connection that has answered."""
    return connection.taken_watch() if isinstance(connection, _Watched) else None
