"""Whether what is waited for comes fast enough, and a head at all, to be waited for.

Owns the bounds on a connection that gives a little every now and then, or heads and trailers
without an end.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from layerstore.images.registry.wire.patience import Patience

_MAX_STEP = 1 << 20
"""Bytes that are read before a head is whole, or a piece of a body: none is as long."""


class TooSlow(TimeoutError):
    """Too little came for a while; the text says how much."""


class PacedResponse(HTTPResponse):
    """An answer that is read by way of a Paced."""

    def __init__(self, patience: Patience, sock: socket.socket, **options: Any) -> None:
        super().__init__(sock, **options)
        self._paced = _Paced(self.fp.detach(), patience)
        self.fp = io.BufferedReader(self._paced)

    def read1(self, n: int = -1) -> bytes:
        """Read a piece of the body, and whatever stands around it."""
        self._paced.step = 0
        return super().read1(n)


class _Paced(io.RawIOBase):
    """Adds up what is read and how long that took; what is done in between doesn't count."""

    def __init__(self, raw: io.RawIOBase, patience: Patience) -> None:
        super().__init__()
        self._raw = raw
        self._patience = patience
        self._waited = 0.0
        self._bytes = 0
        self.step = 0
        """Bytes that have come for the head, or for what is read at once of the body."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begun = time.monotonic()
        count = self._raw.readinto(buffer)
        # One wait may be long, which is for the socket's timeout; it takes some to be slow.
        self._waited += min(time.monotonic() - begun, self._patience.window / 4)
        self._bytes += count or 0
        if self._waited >= self._patience.window:
            speed = self._bytes / self._waited
            self._waited, self._bytes = 0.0, 0
            if count and speed < self._patience.least_speed:
                raise TooSlow(f"it comes at {speed:.0f} bytes a second")
        self.step += count or 0
        if self.step > _MAX_STEP:
            raise TooSlow("there is no end to its head, or to what stands around its content")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
