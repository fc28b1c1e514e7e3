"""Whoever asks or waits ends as soon as a stop is told, and leaves nothing open."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from layerstore.drivers.errors import JobCancelled
from layerstore.drivers.model.reference import parse_reference
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.places import Place
from layerstore.images.registry.repository import Repository
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.wire.tls import Trust
from layerstore.images.registry.wire.transport import Transport
from tests.images.registry.client.fake import (
    MANIFEST,
    PATIENCE,
    Everywhere,
    Fake,
    Saying,
    Where,
    asking,
    place_of,
    says,
    silent,
)
from tests.support.registries.certificates import Authority
from tests.support.registries.http import Connection
from tests.support.waiting import wait_until

DIGEST = "sha256:" + "0" * 64
_ON_X86, _ON_ARM = {"0", "7", "45", "271"}, {"63", "73", "207"}
_HEAD = "HTTP/1.1 200 OK\nContent-Length: 100000\n\n"
_OPEN_ENDED = "HTTP/1.1 200 OK\n\nabc"
_CHUNKED = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nabcde\n"


def _read_blob(repository: Repository) -> None:
    with repository.open_blob(DIGEST, 100_000) as stream:
        while stream.read(1000):
            pass


_READING: dict[str, tuple[Callable[[Repository], object], str]] = {
    "the answer": (lambda r: r.manifest("1"), ""),
    "a head": (lambda r: r.manifest("1"), "HTTP/1.1 200 OK\nContent-"),
    "a manifest": (lambda r: r.manifest("1"), _HEAD + "abc"),
    "a manifest of unknown length": (lambda r: r.manifest("1"), _OPEN_ENDED),
    "a small blob": (lambda r: r.blob(DIGEST, None, 1000_000), _HEAD),
    "a blob": (_read_blob, _HEAD + "abc"),
    "a blob of unknown length": (_read_blob, _OPEN_ENDED),
    "a blob in chunks": (_read_blob, _CHUNKED),
    "a refusal": (lambda r: r.has_blob(DIGEST), "HTTP/1.1 500 Oh\nContent-Length: 9\n\n"),
    "tags": (lambda r: r.tags(), "HTTP/1.1 400 Oh\n\n{"),
}


@pytest.mark.parametrize("what", _READING)
@pytest.mark.parametrize("has_tls", [False, True])
def test_who_reads_ends_at_once(authority: Authority, what: str, has_tls: bool) -> None:
    act, head = _READING[what]
    stop = Stop()
    with Fake(tls=authority.server_context() if has_tls else None) as fake:
        fake.when("", silent(head, then=stop.tell))
        with (
            asking(place_of(fake, verify=False), stop=stop) as repository,
            pytest.raises(JobCancelled),
        ):
            act(repository)
        assert len(fake.requests) == 1
        with asking(place_of(fake), stop=stop) as repository, pytest.raises(JobCancelled):
            act(repository)
        assert len(fake.requests) == 1


def _after(stop: Stop, saying: Saying) -> Saying:
    """Say something, and tell a stop when the client has had it."""

    async def act(connection: Connection) -> None:
        await saying(connection)
        await connection.reader.read(1)
        stop.tell()

    return act


@pytest.mark.parametrize("where", ["registry", "realm"])
def test_who_waits_for_the_next_attempt_ends_at_once(fake: Fake, where: str) -> None:
    stop = Stop()
    busy = _after(stop, says("429 Busy", Retry_After=25))
    fake.when("/token", busy)
    challenge = f'Bearer realm="{fake.url}/token"'
    fake.when("", busy if where == "registry" else says("401 No", WWW_Authenticate=challenge))
    with asking(place_of(fake), stop=stop) as repository, pytest.raises(JobCancelled, match="tags"):
        repository.tags()


@pytest.fixture
def full() -> Iterator[Place]:
    """A place that takes no connections any more."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        host = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()):
            yield Place(registry=host, host=host, repository="app", schemes=("http",))


def _is_connecting(port: int) -> bool:
    """Whether a connection to the port is asked for and not there yet."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(f":{port:04X} 02 " in line for line in file)


@contextlib.contextmanager
def _once_it_connects(place: Place, act: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as this process asks a place for a connection."""
    port = int(place.host.partition(":")[2])
    patience = Retrying(
        retry=retry_if_result(lambda seen: not seen),
        wait=wait_fixed(0.002),
        stop=stop_after_delay(60),
    )

    def wait() -> None:
        try:
            patience(lambda: _is_connecting(port))
        finally:
            act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def test_who_connects_ends_at_once(full: Place) -> None:
    stop = Stop()
    with (
        _once_it_connects(full, stop.tell),
        asking(full, stop=stop) as repository,
        pytest.raises(JobCancelled),
    ):
        repository.tags()


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """What interrupts the main thread."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupted)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_of_who_connects_leaves_nothing_open(
    full: Place, interrupt: Callable[[], None]
) -> None:
    with (
        _once_it_connects(full, interrupt),
        asking(full) as repository,
        pytest.raises(KeyboardInterrupt),
    ):
        repository.tags()


def _waits_for_a_socket(thread: int) -> bool:
    """Whether a thread of this process is in recvfrom, poll, ppoll or read; see proc(5)."""
    number = Path(f"/proc/self/task/{thread}/syscall").read_text().split()[0]
    return number in {"arm64": _ON_ARM, "aarch64": _ON_ARM}.get(platform.machine(), _ON_X86)


@pytest.mark.parametrize("what", _READING)
def test_an_interrupt_of_who_reads_leaves_nothing_open(
    fake: Fake, interrupt: Callable[[], None], what: str
) -> None:
    act, head = _READING[what]
    reader = threading.get_native_id()

    def once_it_waits() -> None:
        wait_until(lambda: _waits_for_a_socket(reader))
        interrupt()

    fake.when("", silent(head, then=once_it_waits))
    with asking(place_of(fake)) as repository, pytest.raises(KeyboardInterrupt):
        act(repository)


def test_one_stop_ends_all_who_go_by_it_and_nobody_else(fake: Fake) -> None:
    here, elsewhere = Stop(), Stop()
    ended: list[str] = []

    def both() -> None:
        if len(fake.requests) == 3:
            here.tell()

    fake.when("manifests", silent(_HEAD, then=both))
    fake.when("tags", says(body=b'{"tags":["a"]}'))

    def ask(repository: Repository) -> None:
        with pytest.raises(JobCancelled):
            repository.manifest("1")
        ended.append("")

    with (
        asking(place_of(fake), stop=here) as repository,
        asking(place_of(fake), stop=elsewhere) as another,
    ):
        threads = [threading.Thread(target=ask, args=[repository]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert another.tags() == ["a"]
    assert len(ended) == 3


def test_a_stop_is_told_by_a_signal(fake: Fake) -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.tell())
    try:
        fake.when("", silent(then=lambda: os.kill(os.getpid(), signal.SIGUSR1)))
        with asking(place_of(fake), stop=stop) as repository, pytest.raises(JobCancelled):
            repository.manifest("1")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_stop_does_what_is_there_when_it_is_told() -> None:
    stop = Stop()
    done: list[str] = []
    with stop.on(lambda: done.append("first")):
        with stop.on(lambda: done.append("over")):
            pass
        stop.tell()
        stop.tell()
        with stop.on(lambda: done.append("late")):
            pass
    assert done == ["first", "late"]
    assert stop.told
    with pytest.raises(JobCancelled, match="this was cancelled"):
        stop.wait(1000, "this")


class _Kept(BaseHTTPRequestHandler):
    """Answers any number of requests on a connection, after doing what the next in turn is."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[list[int]] = []
    before: ClassVar[list[Callable[[], object]]] = []

    def setup(self) -> None:
        super().setup()
        self.connections.append(self.client_address[1])

    def do_GET(self) -> None:
        self.before.pop(0)()
        if not self.before:  # this is the last one, which waits until the client goes away
            self.rfile.read(1)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(MANIFEST)))
        self.end_headers()
        self.wfile.write(MANIFEST)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def keeping(everything_is_closed: None) -> Iterator[Place]:
    """A place that keeps its connections."""
    _Kept.connections.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Kept)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    host = f"127.0.0.1:{server.server_port}"
    yield Place(registry=host, host=host, repository="app", schemes=("http",))
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_connection_is_ended_by_the_stop_of_whom_it_serves_alone(keeping: Place) -> None:
    first, second, third = Stop(), Stop(), Stop()
    _Kept.before[:] = [lambda: None, first.tell, lambda: None, third.tell]
    name = parse_reference("example.org/app")
    size = len(MANIFEST)
    with RegistryClient(Where([keeping]), Everywhere(None), stop=second) as client:
        with client.again(first) as again, again.repository(name).open_blob(DIGEST, size) as blob:
            assert blob.read() == MANIFEST
            # Another goes on with the connection, though the blob isn't closed yet.
            assert client.repository(name).manifest("1").content == MANIFEST
        assert client.repository(name).manifest("1").content == MANIFEST
        with client.again(third) as again, pytest.raises(JobCancelled):
            again.repository(name).manifest("1")
        assert len(_Kept.connections) == 1


def test_what_is_sent_may_come_from_what_is_asked_meanwhile(fake: Fake) -> None:
    fake.when("PUT", says("201 Created"))
    fake.when("GET", says(body=b"content"))
    transport = Transport(PATIENCE)
    stop, other = Stop(), Stop()

    def content() -> Iterator[bytes]:
        with transport.send("GET", fake.url, {}, Trust(), None, other) as answer:
            yield answer.read_all(100)

    with transport.send("PUT", fake.url, {}, Trust(), content(), stop) as answer:
        assert answer.status == 201
    transport.close()
