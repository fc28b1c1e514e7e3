"""A proxy before a real registry, which misbehaves when a test wants that, and records requests.

Owns the rules of what is done to which request. How it is done is `faults`'.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.registries.daemon import Registry
from tests.support.registries.http import Connection, Request, Server, read_head

_PIECE = 1 << 18
_DIGEST = r"(?P<algorithm>[a-z0-9]+):(?P<hex>[0-9a-f]+)"


@dataclass
class Answer:
    """What the registry says to a request."""

    status: str
    """As in `200 OK`."""
    headers: Mapping[str, str]
    reader: asyncio.StreamReader

    async def body(self) -> AsyncIterator[bytes]:
        """Give what is left of its body, as it comes."""
        while piece := await self.reader.read(_PIECE):
            yield piece


@dataclass
class Exchange:
    """A request, before anything is answered."""

    connection: Connection
    registry: Registry
    number: int
    """How many requests the same rule had before."""

    @contextlib.asynccontextmanager
    async def asked(self) -> AsyncIterator[Answer]:
        """Ask the registry, for a block."""
        request = self.connection.request
        reader, writer = await asyncio.open_connection("127.0.0.1", self.registry.port)
        fields = {**request.headers, "connection": "close"}
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        uploading = asyncio.ensure_future(_pass_on(self.connection.reader, writer))
        try:
            status, headers = await read_head(reader)
            yield Answer(status.partition(" ")[2], headers, reader)
        finally:
            # Before anything is waited for: the server may end meanwhile.
            uploading.cancel()
            writer.transport.abort()
            await asyncio.gather(uploading, return_exceptions=True)
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def pass_on(self) -> None:
        """Answer as the registry does."""
        async with self.asked() as answer:
            await self.connection.head(answer.status, _without_connection(answer.headers))
            async for piece in answer.body():
                self.connection.writer.write(piece)
                await self.connection.writer.drain()


Fault = Callable[[Exchange], Awaitable[None]]


@dataclass
class Rule:
    """What is done to requests, instead of passing them on."""

    pattern: re.Pattern[str]
    """Found in those that it is about, written as in `GET /v2/app/manifests/1`."""
    fault: Fault
    times: int
    after: int
    seen: int = 0

    def applies(self, request: Request) -> bool:
        if self.pattern.search(f"{request.method} {request.target}") is None:
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


@dataclass
class Proxy(Server):
    """In front of a registry that speaks HTTP."""

    registry: Registry = field(kw_only=True)
    rules: list[Rule] = field(default_factory=list, init=False)

    def name(self, rest: str) -> str:
        """Return the name of what is behind it, as `pull` takes it."""
        return f"{self.host}/{rest}"

    def when(self, pattern: str, fault: Fault, *, times: int = 1 << 30, after: int = 0) -> None:
        """Do something to the requests that match, the first `after` of them spared."""
        self.rules.append(Rule(re.compile(pattern), fault, times, after))

    def asked(self, pattern: str) -> list[str]:
        """Return the targets of all requests so far that match."""
        looked_for = re.compile(pattern)
        there = [f"{request.method} {request.target}" for request in list(self.requests)]
        return [line for line in there if looked_for.search(line)]

    def fetched(self) -> list[str]:
        """Return the digests of the blobs that were asked for, in that order."""
        found = (re.search(f"/blobs/({_DIGEST})", line) for line in self.asked("^GET"))
        return [match[1] for match in found if match is not None]

    async def serve(self, connection: Connection) -> None:
        for rule in self.rules:
            if rule.applies(connection.request):
                await rule.fault(Exchange(connection, self.registry, rule.seen - rule.after - 1))
                return
        await Exchange(connection, self.registry, 0).pass_on()


@dataclass
class Storage(Server):
    """Another host that has a registry's blobs, to which that one may redirect."""

    registry: Registry = field(kw_only=True)

    async def serve(self, connection: Connection) -> None:
        blob = self._blob(connection.request)
        if blob is None:
            await connection.answer("404 Not Found")
            return
        content = blob.read_bytes()
        part = re.fullmatch(r"bytes=(\d+)-", connection.request.headers.get("range", ""))
        if part is None:
            await connection.answer("200 OK", {}, content)
            return
        begin = int(part[1])
        of = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        await connection.answer("206 Partial Content", {"Content-Range": of}, content[begin:])

    def _blob(self, request: Request) -> Path | None:
        named = re.search(f"{_DIGEST}$", request.path)
        if named is None:
            return None
        path = self.registry.blob(named["algorithm"], named["hex"])
        return path if path.is_file() else None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what a client sends after its request's head, until it is cancelled."""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()


def _without_connection(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "connection"}
