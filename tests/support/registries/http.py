"""A small HTTP server in a thread of its own, whose every byte a test decides.

Owns one listening socket and an event loop. Each connection has one request, so that no thread and
no connection outlives what a client does, and every request is in the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self
from urllib.parse import parse_qs, urlsplit

_MOST_HEAD = 1 << 16


@dataclass(frozen=True)
class Request:
    """The head of a request."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By names in lower case."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Connection:
    """One client's, with the request that it made."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def body(self) -> bytes:
        """Read what the request's head announces."""
        return await self.reader.readexactly(int(self.request.headers.get("content-length", 0)))

    async def answer(
        self, status: str, headers: Mapping[str, object] | None = None, body: bytes = b""
    ) -> None:
        """Send a whole answer, or its head alone where that was asked for."""
        await self.head(status, {"Content-Length": len(body), **(headers or {})})
        if self.request.method != "HEAD":
            self.writer.write(body)
            await self.writer.drain()

    async def head(self, status: str, headers: Mapping[str, object]) -> None:
        """Send the head of an answer."""
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
        self.writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        await self.writer.drain()


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """Read the head of a request or an answer: its first line, its fields by lower-case names."""
    begin = await reader.readexactly(1)
    if not begin.isalpha():
        raise ConnectionAbortedError("TLS, or something else that isn't HTTP")
    lines = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields: dict[str, str] = {}
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(":")
        before = [fields[name.lower()]] if name.lower() in fields else []
        fields[name.lower()] = ", ".join([*before, value.strip()])
    return lines[0], fields


@dataclass
class Server:
    """Answers on a free port of loopback, from `with` to its end; what it says is `serve`'s."""

    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list, init=False)
    """Every request so far, in order."""
    port: int = field(default=0, init=False)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    async def serve(self, connection: Connection) -> None:
        """Answer a request."""
        await connection.answer("404 Not Found")

    def __enter__(self) -> Self:
        self._listens = threading.Event()
        run = partial(asyncio.run, self._listen())
        self._thread = threading.Thread(target=run, name="a server of a test")
        self._thread.start()
        assert self._listens.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._accepted, "127.0.0.1", 0, limit=_MOST_HEAD, ssl=self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._ended.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._converse(reader, writer))
        self._connections.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._connections.discard(task)
            writer.transport.abort()  # one that was cancelled before it began has closed nothing

        task.add_done_callback(done)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away is what tests are about; what it leaves is for it to tell.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                first, headers = await read_head(reader)
                method, target, _ = first.split(" ")
                request = Request(method, target, headers)
                self.requests.append(request)
                await self.serve(Connection(request, reader, writer))
            except asyncio.CancelledError:
                writer.transport.abort()  # nobody reads what is left to be sent
                raise
            finally:
                writer.close()
                await writer.wait_closed()
