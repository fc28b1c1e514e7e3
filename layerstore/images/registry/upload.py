"""Sending to a registry: blobs, and whence it has them already, and manifests.

Owns the uploads of the OCI distribution specification, "Pushing": what is short goes in one
request, what isn't in pieces of some MiB, each of which goes on from where the registry has got to.
No more than a piece is held. Where the registry has lost what was sent, the blob is begun anew, as
often as patience allows.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol
from urllib.parse import quote

from msgspec import Struct, structs

from layerstore.drivers.errors import RegistryError, RegistryUnreachable
from layerstore.images.registry.asker import Asker, Question
from layerstore.images.registry.manifests import digest_of
from layerstore.images.registry.session import Lost, NotInPieces, Session, agreed
from layerstore.images.registry.wire.answers import BrokenAnswer
from layerstore.images.registry.wire.patience import PassingError, patiently

PIECE = 8 << 20
"""Bytes that are sent at once, and held meanwhile. Some registries refuse less than 5 MiB."""
_MOST = 64 << 20
"""Bytes of a piece that a registry may ask for."""
_BEGINNINGS = 3
"""How often a blob is sent from its beginning."""


class Ask(Protocol):
    """What makes a question about the repository that is pushed to."""

    def __call__(self, path: str, what: str, *, method: str) -> Question:
        """Return the question; `path` begins after the repository's name."""


class Upload(Struct, frozen=True):
    """A blob to be sent."""

    what: str
    """As errors name it."""
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]
    """Gives its content, from the beginning, each time the same."""


class Uploaded(Struct, frozen=True):
    """A blob that the repository has now."""

    digest: str
    size: int


class Uploader:
    """What sends to one repository, at the registry itself; for any number of threads at once."""

    def __init__(self, asker: Asker, ask: Ask, has: Callable[[str], int | None]) -> None:
        """Send by `asker`; `has` returns the size of a blob that the repository has."""
        self._asker = asker
        self._ask = ask
        self._has = has

    def mount(self, digest: str, source: str) -> bool:
        """Have a blob of another of the registry's repositories put here; whether that was done.

        A registry that doesn't let us see the other one, or does no such thing, hasn't done it.
        Raises RegistryUnreachable, JobCancelled.
        """
        query = f"mount={quote(digest, safe=':')}&from={quote(source, safe='/')}"
        question = self._begin(f"blob {digest}", f"?{query}")
        question = structs.replace(
            question,
            fine=frozenset({201, 202}),
            scopes=question.scopes | {f"repository:{source}:pull"},
        )
        try:
            with self._asker.ask(question) as answer:
                if answer.status == 201:
                    return True
                session = Session(self._asker, question, answer)
        except RegistryUnreachable:
            raise
        except RegistryError:
            return False
        session.cancel()  # it was begun instead
        return False

    def beginning(self, digest: str, count: int) -> bytes:
        """Return a blob's first bytes, not verified. Raises as `upload`."""
        question = structs.replace(
            self._ask(f"blobs/{digest}", f"blob {digest}", method="GET"),
            headers={"Range": f"bytes=0-{count - 1}"},
            fine=frozenset({200, 206}),
        )

        def read() -> bytes:
            content = b""
            with self._asker.once(question) as answer:
                try:
                    while len(content) < count and (more := answer.read_some(count)):
                        content += more
                    return content[:count]
                except BrokenAnswer as error:
                    raise self._asker.broken(question.place, question.what, error) from error

        return self._asker.patiently(read, question.what, question.place)

    def upload(self, blob: Upload) -> Uploaded:
        """Send a blob, unless it turns out that it is there; it is opened once, or more often.

        Raises AccessDenied, RegistryUnreachable, RegistryError, IntegrityError where the registry
        got other bytes, JobCancelled, and what reading the blob raises.
        """
        begin = self._begin(blob.what)
        in_pieces = True

        def attempt() -> Uploaded:
            nonlocal in_pieces
            try:
                with blob.open() as content:
                    return self._send(_Buffer(content), begin, in_pieces=in_pieces)
            except (Lost, NotInPieces) as error:
                in_pieces = in_pieces and isinstance(error, Lost)
                final = RegistryError(begin.place.registry, begin.what, str(error))
                raise PassingError(final) from error

        asker = self._asker
        return patiently(attempt, begin.what, asker.stop, asker.patience, _BEGINNINGS)

    def put_manifest(self, wanted: str, media_type: str, content: bytes) -> str:
        """Put a manifest or an index there by its tag or digest, and return its digest.

        Raises as `upload`.
        """
        question = structs.replace(
            self._ask(f"manifests/{wanted}", f"manifest {wanted}", method="PUT"),
            headers={"Content-Type": media_type},
            body=content,
            fine=frozenset({201, 202}),
        )
        with self._asker.ask(question) as answer:
            return agreed(digest_of(content), answer, question)

    def _begin(self, what: str, query: str = "") -> Question:
        question = self._ask(f"blobs/uploads/{query}", what, method="POST")
        return structs.replace(question, fine=frozenset({202}))

    def _send(self, buffer: _Buffer, begin: Question, *, in_pieces: bool) -> Uploaded:
        buffer.fill(PIECE)
        if buffer.ended:
            self._send_short(buffer.piece, buffer.digest, begin)
            return buffer.all_of_it()
        with self._session(begin) as session:
            if in_pieces:
                self._send_pieces(buffer, session)
            else:
                session.send_all(buffer.rest())
            session.finish(buffer.digest, self._has)
        return buffer.all_of_it()

    def _send_short(self, content: bytearray, digest: str, begin: Question) -> None:
        """Send in one request what is held as a whole. That it is there may be all there is to do.

        OCI distribution specification, "POST then PUT".
        """

        def attempt() -> None:
            if self._has(digest) is None:
                with self._session(begin) as session:
                    session.put(digest, content)

        self._asker.patiently(attempt, begin.what, begin.place)

    def _send_pieces(self, buffer: _Buffer, session: Session) -> None:
        """Send piece by piece. OCI distribution specification, "Pushing a blob in chunks"."""
        size = max(PIECE, session.least)
        if size > _MOST:
            raise NotInPieces(f"it wants {session.least} bytes at once")
        buffer.fill_up(size)
        while buffer.piece:
            session.send_piece(buffer.piece)
            buffer.fill(size)

    @contextlib.contextmanager
    def _session(self, begin: Question) -> Iterator[Session]:
        """Begin an upload for a `with` block; where that fails, the registry may forget it."""
        with self._asker.ask(begin) as answer:
            session = Session(self._asker, begin, answer)
        try:
            yield session
        except Exception:
            session.cancel()
            raise


class _Buffer:
    """What comes, one piece at a time, each as long as is wanted; and the digest of all pieces."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self._left = b""
        self._hash = hashlib.sha256()
        self._size = 0
        self.piece = bytearray()
        """The piece that is held."""
        self.ended = False
        """Nothing comes after it."""

    @property
    def digest(self) -> str:
        """Of all pieces so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def all_of_it(self) -> Uploaded:
        """Return what all pieces are together."""
        return Uploaded(self.digest, self._size)

    def fill(self, size: int) -> None:
        """Let go of the piece, and hold the next one; it is shorter only at the end."""
        self.piece = bytearray()
        self.fill_up(size)

    def fill_up(self, size: int) -> None:
        """Add to the piece, as `fill`."""
        while len(self.piece) < size and not self.ended:
            more = self._left or next(self._content, None)
            if more is None:
                self.ended = True
                break
            wanted = more[: size - len(self.piece)]
            self._left = more[len(wanted) :]
            self._hash.update(wanted)
            self._size += len(wanted)
            self.piece += wanted

    def rest(self) -> Iterator[bytes]:
        """Give the piece, and all that comes after it."""
        while self.piece:
            yield bytes(self.piece)
            self.fill(1 << 20)
