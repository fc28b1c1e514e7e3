"""An answer of a registry: what its headers say, and its body as it comes.

Owns the bounds on what is read of it; raises BrokenAnswer where it ends too early.
"""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPException
from types import TracebackType
from typing import Self

from urllib3.exceptions import HTTPError, IncompleteRead
from urllib3.response import BaseHTTPResponse

from layerstore.drivers.system.printable import escaped
from layerstore.images.registry.wire.connections import taken_watch
from layerstore.images.registry.wire.pace import TooSlow
from layerstore.images.registry.wire.urls import joined, origin_of

_MAX_PART = {"http": 256 << 10, "https": 64 << 10}
"""Bytes that are read at once: TLS has 16 KiB in each record, so more room is made in vain."""
_MAX_REASON = 300
_READ_FOR_PEACE = 16 << 10
"""Bytes that are rather read than have a connection closed for them."""


class BrokenAnswer(Exception):
    """The connection broke, or fell silent, or the answer isn't HTTP."""


class TooLong(Exception):
    """There is more than was to be read."""


class Answer:
    """An answer whose body is still to be read; a context manager that closes it."""

    __slots__ = ("_most", "_response", "_watch", "headers", "status", "url")

    def __init__(self, response: BaseHTTPResponse, url: str) -> None:
        self._response = response
        self._most = _MAX_PART[origin_of(url)[0]]
        self._watch = taken_watch(response.connection)
        self.status = response.status
        self.headers = response.headers
        self.url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Be done with it, all read or not."""
        if self._is_all_but_read():
            # Then the connection serves for the next question; if not, nothing is lost.
            with suppress(BrokenAnswer, TooLong):
                self.read_all(_READ_FOR_PEACE)
        self._response.close()
        self._response.release_conn()
        self._unwatch()

    @property
    def state(self) -> str:
        """The status with its reason, printable."""
        return shown(f"{self.status} {self._response.reason or ''}".strip())

    @property
    def length(self) -> int | None:
        """Bytes of the body as the header says."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    @property
    def location(self) -> str | None:
        """Where it says to go on, as an absolute URL; None if it doesn't, or by no URL of HTTP."""
        target = self.headers.get("Location")
        return joined(self.url, target) if target is not None else None

    @property
    def origin(self) -> tuple[str, str]:
        """Scheme, and host with port, that it came from."""
        return origin_of(self.url)

    def read_some(self, most: int) -> bytes:
        """Read what comes next, nothing at its end; raises BrokenAnswer."""
        most = min(most, self._most)
        try:
            part = self._response.read1(most, decode_content=False) or b""
        except IncompleteRead as error:
            raise BrokenAnswer("the connection ends") from error
        except (HTTPError, OSError) as error:
            raise BrokenAnswer(broken_by(error)) from error
        finally:
            if self._response.connection is None:  # it serves another one by now
                self._unwatch()
        if len(part) > most:  # as http.client has it of chunks that are shorter than nothing
            raise BrokenAnswer("it sends more than it says")
        return part

    def read_all(self, limit: int) -> bytes:
        """Read the whole body; raises TooLong as soon as it is known to be, and BrokenAnswer."""
        if self._has_body() and (self.length or 0) > limit:
            raise TooLong
        content = bytearray()
        while part := self.read_some(min(1 << 20, limit + 1 - len(content))):
            content += part
            if len(content) > limit:
                raise TooLong
        return bytes(content)

    def _unwatch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.end()

    def _has_body(self) -> bool:
        return getattr(self._response, "length_remaining", None) != 0

    def _is_all_but_read(self) -> bool:
        if not self._has_body():
            return True
        # The rest of what was asked for may be long in coming, a refusal's hardly.
        return self.status >= 300 and self.length is not None


def broken_by(error: BaseException) -> str:
    """Say in a few words why a connection failed; no more than the system's own words."""
    inner: object = error
    last = error
    for _ in range(16):
        if not isinstance(inner, BaseException):
            break
        last = inner
        inner = inner.__cause__ or next(filter(_is_error, inner.args), None)
    if isinstance(last, TooSlow):
        return str(last)
    if isinstance(last, OSError) and last.strerror:
        return shown(last.strerror)
    if isinstance(last, TimeoutError):
        return "no answer in time"
    if isinstance(last, HTTPException) and not isinstance(last, OSError):
        return f"no HTTP ({type(last).__name__})"
    return shown(str(last) or type(last).__name__)


def shown(text: str) -> str:
    """Return what a registry says as text for people: printable, and not too much."""
    return escaped(text[:_MAX_REASON])


def _is_error(value: object) -> bool:
    return isinstance(value, BaseException)
