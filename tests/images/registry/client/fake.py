"""A registry that says what a test has it say, and clients that ask it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from layerstore.drivers.model.reference import Reference, parse_reference
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.places import Place
from layerstore.images.registry.repository import Repository
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.wire.patience import Patience
from tests.support.registries.http import Connection, Server

Saying = Callable[[Connection], Awaitable[None]]

PATIENCE = Patience(
    attempts=4,
    first_wait=0.001,
    longest_wait=0.004,
    longest_asked=30,
    connect=100,
    silence=100,
    pages=5,
)
OCI = "application/vnd.oci.image.manifest.v1+json"
SECRET = "open sesame"
LOGIN = Login(user="somebody", secret=SECRET)
BASIC = "Basic " + base64.b64encode(f"somebody:{SECRET}".encode()).decode()
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": {}, "layers": []}).encode()


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass
class Fake(Server):
    """Says to each request what the first matching rule has, and 404 where none does."""

    rules: list[tuple[re.Pattern[str], list[Saying]]] = field(default_factory=list, init=False)

    def when(self, pattern: str, *sayings: Saying) -> None:
        """Say these in turn, the last of them from then on; an earlier rule is before a later."""
        self.rules.append((re.compile(pattern), list(sayings)))

    def asked(self, pattern: str = "") -> list[str]:
        """Return the requests so far that match, as in `GET /v2/app/tags/list`."""
        lines = [f"{request.method} {request.target}" for request in list(self.requests)]
        return [line for line in lines if re.search(pattern, line)]

    def shown(self) -> list[str | None]:
        """Return the Authorization of each request so far."""
        return [request.headers.get("authorization") for request in list(self.requests)]

    async def serve(self, connection: Connection) -> None:
        line = f"{connection.request.method} {connection.request.target}"
        for pattern, sayings in self.rules:
            if pattern.search(line):
                saying = sayings[0] if len(sayings) == 1 else sayings.pop(0)
                await saying(connection)
                return
        await connection.answer("404 Not Found")


def says(status: str = "200 OK", body: bytes = b"", **headers: object) -> Saying:
    """Answer with that; underscores in names of headers are dashes."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}

    async def act(connection: Connection) -> None:
        await connection.answer(status, fields, body)

    return act


def wants(challenge: str, authorization: str, then: Saying) -> Saying:
    """Challenge who doesn't show the right thing."""

    async def act(connection: Connection) -> None:
        if connection.request.headers.get("authorization") == authorization:
            await then(connection)
        else:
            await connection.answer("401 Unauthorized", {"WWW-Authenticate": challenge})

    return act


def writes(head: str, *parts: bytes) -> Saying:
    """Write exactly that, and close the connection."""

    async def act(connection: Connection) -> None:
        connection.writer.write(head.replace("\n", "\r\n").encode("latin-1"))
        for part in parts:
            connection.writer.write(part)
            await connection.writer.drain()

    return act


def serves(content: bytes, *, cut: int | None = None, has_ranges: bool = True) -> Saying:
    """Answer with what is left of a blob; `cut` closes the connection after so many bytes of it."""

    async def act(connection: Connection) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", connection.request.headers.get("range", ""))
        begin = int(asked[1]) if asked is not None and has_ranges else 0
        fields: dict[str, object] = {"Content-Length": len(content) - begin}
        if begin:
            fields["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        await connection.head("206 Partial Content" if begin else "200 OK", fields)
        connection.writer.write(content[begin : None if cut is None else max(begin, 0) + cut])
        await connection.writer.drain()

    return act


def for_ever(head: str, piece: bytes, pause: float = 0) -> Saying:
    """Write a head, and then a piece again and again, until the client goes away."""

    async def act(connection: Connection) -> None:
        connection.writer.write(head.replace("\n", "\r\n").encode())
        while True:
            connection.writer.write(piece)
            await connection.writer.drain()
            await asyncio.sleep(pause)

    return act


def silent(head: str = "", then: Callable[[], object] = lambda: None) -> Saying:
    """Write as much, do something, and wait until the client goes away."""

    async def act(connection: Connection) -> None:
        connection.writer.write(head.replace("\n", "\r\n").encode())
        await connection.writer.drain()
        then()
        await connection.reader.read(1)

    return act


@dataclass
class Where:
    """Where a test's repositories are, whatever they are called."""

    all: Sequence[Place]

    def meant(self, name: str) -> Reference:
        return parse_reference(name)

    def places(self, reference: Reference, *, push: bool = False) -> list[Place]:  # noqa: ARG002
        return [place for place in self.all if not (push and place.is_mirror)]


@dataclass
class Everywhere:
    """The same one asks at each place."""

    login: Login | None

    def for_place(self, place: Place) -> Login | None:  # noqa: ARG002
        return self.login


def place_of(server: Server, repository: str = "team/app", **more: object) -> Place:
    """Return where a server's repository is."""
    schemes = ("https",) if server.tls is not None else ("http",)
    about = {"registry": server.host, "host": server.host, "schemes": schemes, **more}
    return Place(repository=repository, **about)  # type: ignore[arg-type]


@contextlib.contextmanager
def asking(
    *places: Place,
    login: Login | None = None,
    stop: Stop | None = None,
    patience: Patience = PATIENCE,
    notice: Callable[[str], object] | None = None,
    push: bool = False,
) -> Iterator[Repository]:
    """Give a repository that is at these places, for a `with` block."""
    with RegistryClient(
        Where(places), Everywhere(login), stop=stop, notice=notice, patience=patience
    ) as client:
        yield client.repository(parse_reference("example.org/team/app"), push=push)
