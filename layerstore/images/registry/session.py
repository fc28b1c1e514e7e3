"""One upload that a registry has begun: where it goes on, and how far it has got.

Owns its address, which each answer may move, and going on after a connection that breaks. That is
shown to the registry's own host only what is to be shown there, is the asker's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import structs

from layerstore.drivers.errors import IntegrityError, LayerStoreError, RegistryError
from layerstore.images.registry.asker import Asker, Question
from layerstore.images.registry.manifests import is_digest
from layerstore.images.registry.places import Place
from layerstore.images.registry.wire.answers import Answer
from layerstore.images.registry.wire.patience import PassingError
from layerstore.images.registry.wire.refusals import complaint
from layerstore.images.registry.wire.transport import Body
from layerstore.images.registry.wire.urls import site_of

_OCTETS = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})\Z", re.ASCII)
_LOST = frozenset({400, 404})
_REFUSED = frozenset({400, 405, 406, 411, 413, 415, 422, 501})
"""What registries answer that don't take a blob in pieces."""
_OUT_OF_ORDER = 416
_SLICE = 64 << 10


class Lost(Exception):
    """The registry has forgotten an upload, or what it has of it can't be gone on from."""


class NotInPieces(Exception):
    """The registry doesn't take a blob in pieces."""


class Session:
    """An upload; for one thread."""

    def __init__(self, asker: Asker, begun: Question, answer: Answer) -> None:
        """Go on from the answer to what has begun it. Raises RegistryError."""
        self._asker = asker
        self._begun = begun
        self._home = answer.url
        self._url = ""
        self._sent = 0
        self._move(answer)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self.least = int(least[:18]) if least.isascii() and least.isdigit() else 0
        """Bytes that a piece has at least."""

    def put(self, digest: str, content: bytes | bytearray = b"") -> None:
        """End it: what was sent, and `content`, are the whole blob. Raises Lost, PassingError."""
        mark = "&" if "?" in self._url else "?"
        url = f"{self._url}{mark}digest={quote(digest, safe=':')}"
        body = _Sliced(memoryview(content)) if content else None
        question = self._question("PUT", {201, 204, _OUT_OF_ORDER, *_LOST}, body, url=url)
        length = {"Content-Length": str(len(content))}
        question = structs.replace(question, headers={**question.headers, **length})
        with self._asker.once(question) as answer:
            if answer.status in (_OUT_OF_ORDER, *_LOST):
                raise Lost(complaint(answer))
            agreed(digest, answer, question)

    def finish(self, digest: str, has: Callable[[str], int | None]) -> None:
        """End it; `has` is asked where it isn't known whether that was heard. Raises Lost."""
        tried = False

        def attempt() -> None:
            nonlocal tried
            if not tried or has(digest) is None:
                tried = True
                self.put(digest)

        self._patiently(attempt)

    def send_piece(self, piece: bytearray) -> None:
        """Send what comes next, and again from where the registry has got to.

        Raises Lost, NotInPieces, RegistryError.
        """
        start, end = self._sent, self._sent + len(piece)
        tried = False

        def attempt() -> None:
            nonlocal tried
            if tried:
                self._ask_how_far(start, end)
            tried = True
            while self._sent < end:
                self._patch(memoryview(piece)[self._sent - start :])

        self._patiently(attempt)

    def send_all(self, content: Iterable[bytes | bytearray]) -> None:
        """Send all of it in one request whose length isn't said, as docker does. Raises Lost."""
        question = self._question("PATCH", {201, 202, 204, *_LOST}, content)
        try:
            with self._asker.once(question) as answer:
                if answer.status in _LOST:
                    raise Lost(complaint(answer))
                self._move(answer)
        except PassingError as error:
            raise Lost(str(error.final)) from error

    def cancel(self) -> None:
        """Have the registry forget it, if it can be asked; it does some day by itself."""
        with contextlib.suppress(LayerStoreError, PassingError):
            self._asker.once(self._question("DELETE", {202, 204})).close()

    def _patch(self, part: memoryview) -> None:
        """Send bytes once, and see how many of them have arrived."""
        end = self._sent + len(part)
        fine = {201, 202, 204, 404, _OUT_OF_ORDER, *_REFUSED}
        question = self._question("PATCH", fine, _Sliced(part))
        which = {"Content-Length": str(len(part)), "Content-Range": f"{self._sent}-{end - 1}"}
        question = structs.replace(question, headers={**question.headers, **which})
        with self._asker.once(question) as answer:
            if answer.status == _OUT_OF_ORDER:
                error = RegistryError(question.place.registry, question.what, complaint(answer))
                raise PassingError(error)
            if answer.status == 404:
                raise Lost(complaint(answer))
            if answer.status in _REFUSED:
                raise NotInPieces(complaint(answer))
            self._move(answer)
            reached = _reached(answer, end)
        if not self._sent < reached <= end:
            raise Lost(f"it has {reached} bytes of {end}")
        self._sent = reached

    def _ask_how_far(self, start: int, end: int) -> None:
        """Ask how many bytes have arrived. Raises Lost where they aren't in the piece held."""
        with self._asker.once(self._question("GET", {200, 204, *_LOST})) as answer:
            if answer.status in _LOST:
                raise Lost(complaint(answer))
            self._move(answer)
            reached = _reached(answer, 0)
        # That there is one byte is also how registries say that there is none.
        if reached <= 1 or not start <= reached <= end:
            raise Lost(f"it has {reached} bytes")
        self._sent = reached

    def _question(
        self, method: str, fine: Collection[int], body: Body | None = None, *, url: str = ""
    ) -> Question:
        return structs.replace(
            self._begun,
            method=method,
            path=url or self._url,
            headers=_OCTETS if body is not None else {},
            body=body,
            fine=frozenset(fine),
        )

    def _patiently(self, action: Callable[[], None]) -> None:
        self._asker.patiently(action, self._begun.what, self._begun.place)

    def _move(self, answer: Answer) -> None:
        """Go on where an answer says, if it does."""
        place, what = self._begun.place, self._begun.what
        url = answer.location
        if url is not None:
            self._url = _checked(url, self._home, place, what)
        elif "Location" in answer.headers or not self._url:
            raise RegistryError(place.registry, what, "it doesn't say where to send it")


class _Sliced:
    """Bytes for a connection in slices, each of which has to be taken in time, and not all."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def __iter__(self) -> Iterator[memoryview]:
        for start in range(0, len(self._content), _SLICE):
            yield self._content[start : start + _SLICE]


def agreed(digest: str, answer: Answer, question: Question) -> str:
    """Return a digest that the registry agrees to; raises IntegrityError where it got others."""
    said = answer.headers.get("Docker-Content-Digest", "")
    same = said.partition(":")[0] == digest.partition(":")[0]
    if same and is_digest(said) and said != digest:
        what = f"{question.what} in registry {question.place.registry}"
        raise IntegrityError(what, digest, said)
    return digest


def _reached(answer: Answer, otherwise: int) -> int:
    """Return how many bytes the registry says that it has."""
    found = _RANGE.match(answer.headers.get("Range", "").strip())
    return int(found[1]) + 1 if found is not None else otherwise


def _checked(url: str, home: str, place: Place, what: str) -> str:
    """Return where an upload goes on. Raises RegistryError for where it mustn't.

    A registry that doesn't know that what is before it speaks TLS says http of its own host.
    """
    parts, own = urlsplit(url), urlsplit(home)
    if (parts.scheme, own.scheme) != ("http", "https"):
        return url
    if parts.hostname == own.hostname:
        return urlunsplit(parts._replace(scheme=own.scheme, netloc=own.netloc))
    if "http" not in place.schemes:
        reason = f"it is to be sent to {site_of(url)}, which isn't encrypted"
        raise RegistryError(place.registry, what, reason)
    return url
