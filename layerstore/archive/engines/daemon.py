"""Images of a docker daemon, asked for or handed over on its socket.

Owns where the daemon is, as docker's own command finds it, and its two requests. It starts none and
follows no redirect. Sources: docker's reference of its command, "DOCKER_HOST"; Docker Engine API,
ImageGet and ImageLoad.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from layerstore.drivers.errors import DriverError, EngineError, InvalidArgument

_DEFAULT = "unix:///var/run/docker.sock"
_SILENCE = 900
"""Seconds without a byte after which nobody waits any more: a daemon packs before it sends."""
_PIECE = 1 << 20
_LONGEST_REASON = 1 << 16
_LONGEST_LINE = 1 << 20
_WELL = 200
_CUT = "the answer ends too early"


class _Connection(http.client.HTTPConnection):
    """A connection to a socket's address, whichever family that is of."""

    def __init__(self, family: socket.AddressFamily, address: Any) -> None:
        super().__init__("docker", timeout=_SILENCE)
        self.blocksize = _PIECE
        self._family = family
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(self._family, socket.SOCK_STREAM)
        self.sock.settimeout(_SILENCE)
        self.sock.connect(self._address)


class Daemon:
    """One docker daemon; each request has a connection of its own."""

    def __init__(self, host: str | None = None) -> None:
        """Take an address as DOCKER_HOST has it, by default that. Raises InvalidArgument."""
        self._host = host or os.environ.get("DOCKER_HOST") or _DEFAULT
        self._family, self._address = _place(self._host)

    def ping(self) -> None:
        """Ask whether it is there. Raises EngineError, DriverError."""
        with self._asked("GET", "/_ping", "ping"):
            pass

    @contextlib.contextmanager
    def saved(self, name: str) -> Iterator[Answer]:
        """Give an image's archive, as `docker save` has it, to be read for a `with` block.

        Raises EngineError, DriverError.
        """
        what = f"image {name}"
        with self._asked("GET", f"/images/get?{urlencode({'names': name})}", what) as answer:
            yield answer

    def load(self, archive: IO[bytes], size: int) -> None:
        """Hand over an archive, as `docker load` does. Raises EngineError, DriverError."""
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        with self._asked("POST", "/images/load?quiet=1", "load", archive, headers) as answer:
            answer.check_told()

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        what: str,
        body: IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Iterator[Answer]:
        connection = _Connection(self._family, self._address)
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError as error:
                raise DriverError.from_os_error("connect to", self._host, error) from error
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, body, headers or {})
                # One that refuses a body may not read it to its end; its answer says why.
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise self._failed(what, error) from error
            with contextlib.closing(response):  # the connection has handed its socket to it
                answer = Answer(response, self._host, what)
                answer.check_status()
                yield answer

    def _failed(self, what: str, error: Exception) -> EngineError:
        return EngineError(self._host, what, _reason(error))


class Answer:
    """What a daemon answers; a stream of bytes whose failures are errors of this library."""

    def __init__(self, response: http.client.HTTPResponse, host: str, what: str) -> None:
        self._response = response
        self._host = host
        self._what = what

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end. Raises EngineError."""
        try:
            piece = self._response.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(self._host, self._what, _reason(error)) from error
        if not piece and self._response.length:
            # http.client tells this of a read without a size only.
            raise EngineError(self._host, self._what, _CUT)
        return piece

    def check_status(self) -> None:
        """Raise EngineError unless all is well."""
        if self._response.status != _WELL:
            told = self.read(_LONGEST_REASON)
            reason = (
                _said(_document(told), "message") or self._response.reason or "no reason was given"
            )
            raise EngineError(self._host, self._what, f"{reason} ({self._response.status})")

    def check_told(self) -> None:
        """Read the documents of an answer, one a line; raises the EngineError that one tells of."""
        told = False
        for line in self._lines():
            document = _document(line)
            if reason := _said(document, "error"):
                raise EngineError(self._host, self._what, reason)
            told = told or bool(document)
        if not told:
            raise EngineError(self._host, self._what, "its answer doesn't say that it did")

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while piece := self.read(_PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_LINE:
                raise EngineError(self._host, self._what, "a line of its answer has no end")
        yield rest


def _place(host: str) -> tuple[socket.AddressFamily, Any]:
    """Return the family and the address of a socket. Raises InvalidArgument."""
    parts = urlsplit(host)
    if parts.scheme == "unix" and host.removeprefix("unix://").startswith("/"):
        return socket.AF_UNIX, host.removeprefix("unix://")
    if parts.scheme != "tcp":
        raise InvalidArgument(host, "a daemon is at unix:///PATH, or at tcp:// on this machine")
    if os.environ.get("DOCKER_TLS_VERIFY"):
        raise InvalidArgument(host, "a daemon that wants TLS (DOCKER_TLS_VERIFY) isn't asked")
    try:
        name, port = parts.hostname or "", parts.port or 2375
        address = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError as error:
        raise InvalidArgument(host, f"no address of a daemon: {error}") from error
    if not address.is_loopback or parts.username is not None:
        raise InvalidArgument(host, "without TLS only a daemon of this machine is asked")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return family, (str(address), port)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return _CUT
    return str(error) or type(error).__name__


def _document(text: bytes) -> dict[str, Any]:
    """Return a document; what is none says nothing."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}


def _said(document: dict[str, Any], key: str) -> str:
    told = document.get(key)
    return str(told)[:1000] if told else ""
