"""A daemon that isn't one: it takes requests on a socket and gives the answers of a test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PIECE = 1 << 16


@dataclass
class Asked:
    """What came, by request."""

    host: str
    requests: list[bytes] = field(default_factory=list)
    """The first line and the headers of each."""


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.contextmanager
def answering(place: Path, *answers: bytes, read_body: bool = True) -> Iterator[Asked]:
    """Give the answers, one for each connection, on a unix socket in a directory."""
    path = place / "docker.sock"
    asked = Asked(f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(ConnectionError):
                    asked.requests.append(_taken(connection, read_body=read_body))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # where fewer came than it waits for
            thread.join()


def _taken(connection: socket.socket, *, read_body: bool) -> bytes:
    """Read a request, its body too or not, and return what is before that."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(_PIECE)
    head, _, rest = got.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if read_body and line.startswith(b"content-length:"):
            left = int(line.partition(b":")[2]) - len(rest)
            while left > 0:
                left -= len(connection.recv(_PIECE))
    return head
