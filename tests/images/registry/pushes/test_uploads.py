"""Blobs get to a registry whole, however odd it is about it and however often it breaks off."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from layerstore.drivers.errors import (
    AccessDenied,
    IntegrityError,
    JobCancelled,
    LayerStoreError,
    RegistryError,
)
from layerstore.drivers.model.reference import parse_reference
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.settings import RegistrySettings
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.upload import PIECE, Upload, Uploaded, Uploader
from tests.images.registry.pushes.pushing import HASTY
from tests.support.archives import digest_of
from tests.support.registries.certificates import Authority
from tests.support.registries.takes_uploads import LOGIN, Oddities, TakesUploads

SHORT = b"short" * 1000
LONG = random.Random(1).randbytes(2 * PIECE + 12345)  # noqa: S311 - no secret
PATIENT = replace(HASTY, attempts=6)
MIDDLE = PIECE // 2


@contextlib.contextmanager
def uploading_to(
    host: str, stop: Stop | None = None, settings: RegistrySettings | None = None
) -> Iterator[Uploader]:
    user, secret = LOGIN
    logins = Credentials({host: Login(user=user, secret=secret)})
    settings = settings or RegistrySettings()
    with RegistryClient(settings, logins, stop=stop, patience=PATIENT) as client:
        yield client.repository(parse_reference(f"{host}/x"), push=True).uploader()


def a_blob(content: bytes, opened: list[int] | None = None) -> Upload:
    @contextlib.contextmanager
    def opening() -> Iterator[Iterator[bytes]]:
        if opened is not None:
            opened.append(len(opened))
        yield (content[at : at + 100_000] for at in range(0, len(content), 100_000))

    return Upload("a blob", opening)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, len(LONG)])
def test_what_is_sent_is_there(size: int) -> None:
    content = LONG[:size]
    with TakesUploads() as registry, uploading_to(registry.host) as uploader:
        sent = uploader.upload(a_blob(content))
        assert sent == Uploaded(digest_of(content), size)
        assert registry.blobs == {sent.digest: content}
        assert registry.received == size


def test_what_is_short_and_there_is_not_sent() -> None:
    with TakesUploads() as registry, uploading_to(registry.host) as uploader:
        for _ in range(2):
            uploader.upload(a_blob(SHORT))
        assert registry.received == len(SHORT)


ODD = {
    "it breaks off in the middle of a piece": Oddities(breaks=[MIDDLE]),
    "and again": Oddities(breaks=[MIDDLE, 1000, 7, PIECE // 4]),
    "between two pieces": Oddities(breaks=[PIECE]),
    "before it has anything": Oddities(breaks=[0]),
    "and has one byte": Oddities(breaks=[1]),
    "and forgets the upload": Oddities(breaks=[MIDDLE], forgets=True),
    "it takes less than it is sent": Oddities(takes=PIECE // 3),
    "it wants larger pieces": Oddities(least=PIECE + 1000),
    "it wants all at once": Oddities(least=1 << 30),
    "it doesn't take pieces": Oddities(refuses="405 Method Not Allowed"),
    "it knows no ranges": Oddities(refuses="400 Bad Request"),
    "it takes one piece only": Oddities(refuses="400 Bad Request", spares=1),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_it_gets_there_even_if(odd: Oddities) -> None:
    with (
        TakesUploads(odd=copy.deepcopy(odd)) as registry,
        uploading_to(registry.host) as uploader,
    ):
        sent = uploader.upload(a_blob(LONG))
        assert (registry.blobs, registry.uploads) == ({sent.digest: LONG}, {})


def test_what_has_arrived_is_not_sent_again() -> None:
    odd = Oddities(breaks=[MIDDLE, 1000, 7])
    opened: list[int] = []
    with TakesUploads(odd=odd) as registry, uploading_to(registry.host) as uploader:
        uploader.upload(a_blob(LONG, opened))
        assert registry.received == len(LONG) - MIDDLE - 1000 - 7
    assert opened == [0]


def test_where_an_upload_is_lost_it_is_begun_anew_but_not_for_ever() -> None:
    odd = Oddities(breaks=[MIDDLE] * 100, forgets=True)
    opened: list[int] = []
    with (
        TakesUploads(odd=odd) as registry,
        uploading_to(registry.host) as uploader,
        pytest.raises(RegistryError, match="a blob of x: 404"),
    ):
        uploader.upload(a_blob(LONG, opened))
    assert opened == [0, 1, 2]


@pytest.mark.parametrize("claimed", [0, 1, PIECE + 1, 10**17])
def test_a_registry_that_says_nonsense_of_how_far_it_has_got_is_not_believed(claimed: int) -> None:
    with (
        TakesUploads(odd=Oddities(claims=claimed)) as registry,
        uploading_to(registry.host) as uploader,
        pytest.raises(RegistryError, match=r"it has \d+ bytes"),
    ):
        uploader.upload(a_blob(LONG))


def test_a_registry_that_got_other_bytes_is_told_of() -> None:
    with (
        TakesUploads(odd=Oddities(says=digest_of(b"other"))) as registry,
        uploading_to(registry.host) as uploader,
    ):
        for content in (SHORT, LONG):
            with pytest.raises(IntegrityError, match=digest_of(content)):
                uploader.upload(a_blob(content))


WRONG = {
    "another protocol": "ftp://example.org/x",
    "credentials in it": "http://somebody:else@example.org/x",
    "no URL": "http://[",
    "spaces": "/v2/x y\tz",
}


@pytest.mark.parametrize("location", WRONG.values(), ids=WRONG)
def test_where_it_is_sent_on_to_is_checked(location: str) -> None:
    with (
        TakesUploads(odd=Oddities(location=location)) as registry,
        uploading_to(registry.host) as uploader,
        pytest.raises(RegistryError, match="where to send it"),
    ):
        uploader.upload(a_blob(SHORT))


def test_another_host_gets_the_blob_but_no_credentials() -> None:
    with (
        TakesUploads() as other,
        TakesUploads(odd=Oddities(elsewhere=other.url, wants_login=True)) as registry,
        uploading_to(registry.host) as uploader,
    ):
        other.uploads["0"] = bytearray()
        other.uploads["1"] = bytearray()
        other.odd.elsewhere = other.url
        for content in (SHORT, LONG):
            uploader.upload(a_blob(content))
        assert list(other.blobs.values()) == [SHORT, LONG]
        assert "authorization" in registry.requests[-1].headers
        assert not any("authorization" in request.headers for request in other.requests)


def test_a_registry_that_does_not_know_that_it_speaks_tls_is_sent_to_by_tls(
    authority: Authority,
) -> None:
    trusting = RegistrySettings(ca_files=(str(authority.certificate),))
    for settings in (trusting, RegistrySettings()):
        with (
            TakesUploads(tls=authority.server_context()) as registry,
            uploading_to(registry.host, settings=settings) as uploader,
        ):
            registry.odd.elsewhere = registry.url.replace("https:", "http:")
            for content in (SHORT, LONG):
                assert uploader.upload(a_blob(content)).digest in registry.blobs


def test_what_is_to_be_encrypted_goes_nowhere_else(authority: Authority) -> None:
    settings = RegistrySettings(ca_files=(str(authority.certificate),))
    odd = Oddities(elsewhere="http://localhost:1")
    with (
        TakesUploads(tls=authority.server_context(), odd=odd) as registry,
        uploading_to(registry.host, settings=settings) as uploader,
        pytest.raises(RegistryError, match="isn't encrypted"),
    ):
        uploader.upload(a_blob(SHORT))


def test_nothing_stays_of_what_cannot_be_read_to_its_end() -> None:
    @contextlib.contextmanager
    def opening() -> Iterator[Iterator[bytes]]:
        yield failing()

    def failing() -> Iterator[bytes]:
        yield LONG
        raise LayerStoreError("its disk is gone")

    with TakesUploads() as registry, uploading_to(registry.host) as uploader:
        with pytest.raises(LayerStoreError, match="its disk is gone"):
            uploader.upload(Upload("a blob", opening))
        assert (registry.blobs, registry.uploads) == ({}, {})


def test_it_ends_at_once_when_it_is_told_to() -> None:
    stop = Stop()

    @contextlib.contextmanager
    def opening() -> Iterator[Iterator[bytes]]:
        yield telling()

    def telling() -> Iterator[bytes]:
        yield LONG
        stop.tell()
        yield LONG

    with TakesUploads() as registry, uploading_to(registry.host, stop) as uploader:
        with pytest.raises(JobCancelled):
            uploader.upload(Upload("a blob", opening))
        assert registry.blobs == {}


def test_who_may_not_is_told_so() -> None:
    odd = Oddities(wants_login=True)
    with TakesUploads(odd=odd) as registry:
        client = RegistryClient(RegistrySettings(), Credentials(), patience=PATIENT)
        uploader = client.repository(parse_reference(f"{registry.host}/x"), push=True).uploader()
        with client, pytest.raises(AccessDenied):
            uploader.upload(a_blob(SHORT))
