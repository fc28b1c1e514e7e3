"""A registry of a few lines that takes uploads, and is as odd about them as a test wants.

Owns the uploads; what is whole is in `blobs`. Debian's goes on from no connection that broke, other
registries do.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from base64 import b64encode
from dataclasses import dataclass, field

from tests.support.registries.http import Connection, Server

LOGIN = ("somebody", "secret")
_AUTHORIZATION = "Basic " + b64encode(":".join(LOGIN).encode()).decode()
_CREATED = "201 Created"
_ACCEPTED = "202 Accepted"


@dataclass
class Oddities:
    """What it does otherwise than registries mostly do."""

    breaks: list[int] = field(default_factory=list)
    """Bytes of the PATCH that comes next after which its connection breaks, one after another."""
    forgets: bool = False
    """An upload whose connection broke is forgotten."""
    takes: int = 1 << 40
    """Bytes of one PATCH that it keeps; it says so."""
    claims: int | None = None
    """Bytes that it says it has, however many it has."""
    refuses: str = ""
    """With which status it answers a PATCH that says where its bytes belong."""
    spares: int = 0
    """So many of those it takes."""
    least: int = 0
    """Bytes that it wants at once, as it says."""
    elsewhere: str = ""
    """Where it has what is uploaded sent to, as in `http://host`."""
    location: str = ""
    """What it says of where to go on, whatever that is."""
    says: str = ""
    """The digest that it says it has got."""
    wants_login: bool = False


@dataclass
class TakesUploads(Server):
    """Any repository; uploads are known by numbers."""

    odd: Oddities = field(default_factory=Oddities)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    received: int = 0
    """Bytes of blobs, also of those that came in vain."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count()

    async def serve(self, connection: Connection) -> None:
        request = connection.request
        if self.odd.wants_login and request.headers.get("authorization") != _AUTHORIZATION:
            challenge = {"WWW-Authenticate": 'Basic realm="here"'}
            await connection.answer("401 Unauthorized", challenge)
            return
        at = re.search(r"/blobs/uploads/(\d*)", request.path)
        match request.method, at[1] if at is not None else None:
            case "POST", "":
                number = str(next(self._numbers))
                self.uploads[number] = bytearray()
                await self._accept(connection, number, _ACCEPTED)
            case "HEAD", None:
                await self._describe(connection, request.path.rpartition("/")[2])
            case "PATCH", number if number in self.uploads:
                await self._take(connection, number)
            case "PUT", number if number in self.uploads:
                await self._end(connection, number)
            case "GET", number if number in self.uploads:
                await self._accept(connection, number, "204 No Content")
            case "DELETE", number if number in self.uploads:
                del self.uploads[number]
                await connection.answer("204 No Content")
            case _:
                await connection.answer("404 Not Found")

    async def _describe(self, connection: Connection, digest: str) -> None:
        if digest in self.blobs:
            await connection.head("200 OK", {"Content-Length": len(self.blobs[digest])})
        else:
            await connection.answer("404 Not Found")

    async def _accept(self, connection: Connection, number: str, status: str) -> None:
        location = self.odd.location or f"{self.odd.elsewhere}/v2/x/blobs/uploads/{number}?a=b"
        fields: dict[str, object] = {"Location": location, "OCI-Chunk-Min-Length": self.odd.least}
        size = len(self.uploads[number]) if self.odd.claims is None else self.odd.claims
        fields["Range"] = f"0-{max(size - 1, 0)}"
        await connection.answer(status, fields)

    async def _take(self, connection: Connection, number: str) -> None:
        upload, headers = self.uploads[number], connection.request.headers
        if "content-range" in headers:
            self.odd.spares -= 1
            if self.odd.refuses and self.odd.spares < 0:
                await connection.body()
                await connection.answer(self.odd.refuses, {}, b'{"errors":[]}')
                return
            if not headers["content-range"].startswith(f"{len(upload)}-"):
                await connection.answer("416 Requested Range Not Satisfiable")
                return
        if self.odd.breaks:
            upload += await connection.reader.readexactly(self.odd.breaks.pop(0))
            if self.odd.forgets:
                del self.uploads[number]
            connection.writer.transport.abort()
        else:
            content = (
                await connection.body()
                if "content-length" in headers
                else await _chunks(connection)
            )
            self.received += len(content)
            upload += content[: self.odd.takes]
            await self._accept(connection, number, _ACCEPTED)

    async def _end(self, connection: Connection, number: str) -> None:
        content = await connection.body()
        self.received += len(content)
        content = bytes(self.uploads.pop(number)) + content
        (digest,) = connection.request.query["digest"]
        if digest != f"sha256:{hashlib.sha256(content).hexdigest()}":
            await connection.answer(
                "400 Bad Request", {}, b'{"errors":[{"code":"DIGEST_INVALID"}]}'
            )
            return
        self.blobs[digest] = content
        await connection.answer(_CREATED, {"Docker-Content-Digest": self.odd.says or digest})


async def _chunks(connection: Connection) -> bytes:
    """Read a body that comes in chunks: RFC 9112, 7.1."""
    content = b""
    while size := int(await connection.reader.readline(), 16):
        content += await connection.reader.readexactly(size)
        await connection.reader.readline()
    await connection.reader.readline()
    return content
