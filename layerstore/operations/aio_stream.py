"""Tar streams that an event loop reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self

from layerstore.asking.core import Core
from layerstore.asking.later import Later
from layerstore.asking.requests import Reading
from layerstore.operations.aio_answers import answer_of

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 1 << 18


class AsyncTarStream:
    """One uncompressed tar, read in an `async with` block; see TarStream.

    `async for piece in stream` gives its pieces. The read at its end raises what went wrong.
    """

    def __init__(self, core: Core, request: Reading) -> None:
        self._core = core
        self._request = request
        self._verdict: Later[None] | None = None
        self._reader = asyncio.StreamReader(limit=_PIECE)
        self._transport: asyncio.BaseTransport | None = None

    async def __aenter__(self) -> Self:
        later, descriptor = self._core.begin_reading(self._request)
        try:
            pipe = os.fdopen(os.dup(descriptor.fileno()), "rb", buffering=0)
        finally:
            descriptor.close()
        loop = asyncio.get_running_loop()
        self._verdict = later
        self._transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), pipe
        )
        return self

    async def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes (all that is left, below 0), none at a verified end."""
        piece = await self._reader.read(size)
        if self._verdict is not None and (size < 0 or (size and not piece)):
            await answer_of(self._verdict)
        return piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read(_PIECE):
            yield piece

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading; a worker that still writes ends its job."""
        if self._transport is not None:
            self._transport.close()
