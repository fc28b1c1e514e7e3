"""What a registry may do wrong, for `Proxy.when`: each is a function that makes a fault.

Faults that change an answer leave its head as it was, unless they say otherwise, so that what is
wrong shows only in the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tests.support.registries.proxy import Exchange, Fault

_PIECE = 1 << 16


def flipped(part: float = 0.5) -> Fault:
    """Change a byte of the body, at that part of it."""

    async def act(exchange: Exchange) -> None:
        async with exchange.asked() as answer:
            await exchange.connection.head(answer.status, _fields(answer.headers))
            at, sent = int(int(answer.headers["content-length"]) * part), 0
            async for piece in answer.body():
                changed = bytearray(piece)
                if sent <= at < sent + len(piece):
                    changed[at - sent] ^= 1
                sent += len(piece)
                exchange.connection.writer.write(changed)
                await exchange.connection.writer.drain()

    return act


def cut(part: float) -> Fault:
    """Close the connection after that part of the body."""

    async def act(exchange: Exchange) -> None:
        await _begun(exchange, part)

    return act


def stalled(part: float) -> Fault:
    """Send that part of the body, and then nothing for as long as the client waits."""

    async def act(exchange: Exchange) -> None:
        await _begun(exchange, part)
        await exchange.connection.reader.read(1)

    return act


def shorter(part: float) -> Fault:
    """Say, too, that the body has no more than that part of it."""

    async def act(exchange: Exchange) -> None:
        async with exchange.asked() as answer:
            size = int(int(answer.headers["content-length"]) * part)
            fields = {**_fields(answer.headers), "content-length": size}
            await exchange.connection.head(answer.status, fields)
            exchange.connection.writer.write(await answer.reader.readexactly(size))
            await exchange.connection.writer.drain()

    return act


def endless(content: bytes = b"\0" * _PIECE, *, says_length: bool = False) -> Fault:
    """Go on after the body with that content, again and again, for as long as somebody reads.

    The answer says that it is longer than it should be, or else not how long it is.
    """

    async def act(exchange: Exchange) -> None:
        async with exchange.asked() as answer:
            fields = _fields(answer.headers)
            del fields["content-length"]
            more = {"content-length": 1 << 50} if says_length else {}
            await exchange.connection.head(answer.status, {**fields, **more})
            async for piece in answer.body():
                exchange.connection.writer.write(piece)
        while True:
            exchange.connection.writer.write(content)
            await exchange.connection.writer.drain()

    return act


def trickle(size: int, pause: float) -> Fault:
    """Send the body in pieces of at most that size, with that many seconds between them."""

    async def act(exchange: Exchange) -> None:
        async with exchange.asked() as answer:
            await exchange.connection.head(answer.status, _fields(answer.headers))
            while piece := await answer.reader.read(size):
                exchange.connection.writer.write(piece)
                await exchange.connection.writer.drain()
                await asyncio.sleep(pause)

    return act


def refused(status: str, headers: Mapping[str, object] | None = None, body: bytes = b"") -> Fault:
    """Answer with something else altogether."""

    async def act(exchange: Exchange) -> None:
        await exchange.connection.answer(status, headers, body)

    return act


def replaced(content: bytes, headers: Mapping[str, object] | None = None) -> Fault:
    """Answer with another body, and say that it is the one that was asked for."""

    async def act(exchange: Exchange) -> None:
        async with exchange.asked() as answer:
            fields = {**_fields(answer.headers), "content-length": len(content), **(headers or {})}
            await exchange.connection.head(answer.status, fields)
        if exchange.connection.request.method != "HEAD":
            exchange.connection.writer.write(content)
            await exchange.connection.writer.drain()

    return act


def redirected(host: str) -> Fault:
    """Send who asks to the same path of another host, which is named with its scheme."""

    async def act(exchange: Exchange) -> None:
        target = host + exchange.connection.request.target
        await exchange.connection.answer("307 Temporary Redirect", {"Location": target})

    return act


def challenged(challenge: str) -> Fault:
    """Say that who asks should say who it is, in that way."""
    return refused("401 Unauthorized", {"WWW-Authenticate": challenge}, b'{"errors":[]}')


def dropped() -> Fault:
    """Close the connection without a word."""

    async def act(exchange: Exchange) -> None:
        exchange.connection.writer.transport.abort()

    return act


def interrupted(part: float) -> Fault:
    """Pass on that part of what is sent, and break off both connections."""

    async def act(exchange: Exchange) -> None:
        request = exchange.connection.request
        size = int(int(request.headers["content-length"]) * part)
        _, writer = await asyncio.open_connection("127.0.0.1", exchange.registry.port)
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join([f"{request.method} {request.target} HTTP/1.1", *lines, "", ""])
        writer.write(head.encode("latin-1"))
        writer.write(await exchange.connection.reader.readexactly(size))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        exchange.connection.writer.transport.abort()

    return act


def unanswered(hears: Callable[[], object] = lambda: None) -> Fault:
    """Say nothing for as long as the client waits; `hears` is called first."""

    async def act(exchange: Exchange) -> None:
        hears()
        while await exchange.connection.reader.read(_PIECE):
            pass

    return act


def swallowed() -> Fault:
    """Have it done, and break off without an answer."""

    async def act(exchange: Exchange) -> None:
        async with exchange.asked():
            exchange.connection.writer.transport.abort()

    return act


async def _begun(exchange: Exchange, part: float) -> None:
    """Send the answer's head, and that part of its body."""
    async with exchange.asked() as answer:
        await exchange.connection.head(answer.status, _fields(answer.headers))
        left = int(int(answer.headers["content-length"]) * part)
        while left:
            piece = await answer.reader.readexactly(min(left, _PIECE))
            exchange.connection.writer.write(piece)
            await exchange.connection.writer.drain()
            left -= len(piece)


def _fields(headers: Mapping[str, str]) -> dict[str, object]:
    return {name: value for name, value in headers.items() if name != "connection"}
