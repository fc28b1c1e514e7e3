"""How a place is reached: schemes, certificates, proxies, mirrors; and by which it is not."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.drivers.errors import (
    InvalidName,
    NotInRegistry,
    RegistryError,
    RegistryUnreachable,
)
from layerstore.images.registry.places import Place
from layerstore.images.registry.wire.proxies import Proxies
from tests.images.registry.client.fake import (
    LOGIN,
    MANIFEST,
    PATIENCE,
    Fake,
    Saying,
    asking,
    digest_of,
    place_of,
    says,
    serves,
    writes,
)
from tests.support.registries.certificates import Authority

BOTH = ("https", "http")


@pytest.fixture
def secure(authority: Authority, everything_is_closed: None) -> Iterator[Fake]:
    """A registry that speaks TLS."""
    with Fake(tls=authority.server_context()) as started:
        started.when("manifests", says(body=MANIFEST))
        yield started


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_certificate_is_good_by_the_authority_that_is_named(
    secure: Fake, authority: Authority
) -> None:
    place = place_of(secure, ca_files=(str(authority.certificate),))
    with asking(place) as repository:
        assert repository.manifest("1").content == MANIFEST


@pytest.mark.parametrize("schemes", [("https",), BOTH])
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    secure: Fake, schemes: tuple[str, ...]
) -> None:
    with (
        asking(place_of(secure, schemes=schemes), login=LOGIN) as repository,
        pytest.raises(RegistryUnreachable, match=r"certificate is refused: .*certificate"),
    ):
        repository.manifest("1")
    assert secure.requests == []


def test_a_certificate_of_another_host_is_refused(
    secure: Fake, authority: Authority, tmp_path: Path
) -> None:
    files = authority.issue("registry.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with Fake(tls=context) as wrong:
        place = place_of(wrong, ca_files=(str(authority.certificate),))
        with asking(place) as repository, pytest.raises(RegistryUnreachable, match="mismatch"):
            repository.manifest("1")


def test_a_certificate_is_not_looked_at_where_that_was_asked_for(secure: Fake) -> None:
    with asking(place_of(secure, verify=False)) as repository:
        assert repository.manifest("1").content == MANIFEST


def test_who_asks_may_be_said_by_a_certificate(authority: Authority) -> None:
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    files = authority.issue("client.test")
    with Fake(tls=context) as strict:
        strict.when("manifests", says(body=MANIFEST))
        place = place_of(strict, ca_files=(str(authority.certificate),))
        with asking(place) as repository, pytest.raises(RegistryUnreachable):
            repository.manifest("1")
        ours = (str(files.certificate), str(files.key))
        place = place_of(strict, ca_files=(str(authority.certificate),), client_certificate=ours)
        with asking(place) as repository:
            assert repository.manifest("1").content == MANIFEST


@pytest.mark.parametrize("what", ["missing", "garbage", "key"])
def test_certificates_that_can_not_be_read_are_named(
    secure: Fake, authority: Authority, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "cert.pem"
    if what != "missing":
        path.write_text("garbage")
    key = (str(authority.issue().certificate), str(path)) if what == "key" else None
    files = () if what == "key" else (str(path),)
    place = place_of(secure, ca_files=files, client_certificate=key)
    with asking(place) as repository, pytest.raises(RegistryError, match=str(path)) as caught:
        repository.manifest("1")
    assert type(caught.value) is RegistryError


@pytest.mark.parametrize("schemes", [("https",), BOTH])
def test_what_speaks_tls_sends_nobody_where_nothing_is_encrypted(
    authority: Authority, fake: Fake, schemes: tuple[str, ...]
) -> None:
    with Fake(tls=authority.server_context()) as secure:
        secure.when("/1$", says("307 Elsewhere", Location=f"{fake.url}/storage?a=s3cret"))
        secure.when("/2$", says("401 No", WWW_Authenticate=f'Bearer realm="{fake.url}/token"'))
        place = place_of(secure, ca_files=(str(authority.certificate),), schemes=schemes)
        with asking(place, login=LOGIN) as repository:
            for tag in "12":
                with pytest.raises(RegistryError, match=f"{fake.host}.*encrypted") as caught:
                    repository.manifest(tag)
                assert "s3cret" not in str(caught.value)
    assert fake.requests == []


def test_a_place_may_speak_either_and_is_remembered_for_it(fake: Fake) -> None:
    fake.when("manifests", says(body=MANIFEST), writes(""), says(body=MANIFEST))
    with asking(place_of(fake, schemes=BOTH)) as repository:
        repository.manifest("1")
        repository.manifest("2")
    assert len(fake.requests) == 3


def test_what_has_spoken_one_way_is_not_asked_the_other(fake: Fake) -> None:
    fake.when("/1$", says(body=MANIFEST))
    fake.when("/2$", writes(""))
    place = place_of(fake, schemes=("http", "https"), verify=False)
    with asking(place) as repository:
        repository.manifest("1")
        with pytest.raises(RegistryUnreachable, match="closed connection"):
            repository.manifest("2")
    assert len(fake.requests) == 1 + PATIENCE.attempts


def test_who_does_not_listen_is_unreachable() -> None:
    host = f"127.0.0.1:{_closed_port()}"
    place = Place(registry=host, host=host, repository="app", schemes=BOTH)
    with asking(place) as repository, pytest.raises(RegistryUnreachable, match="refused"):
        repository.manifest("1")


def test_a_host_that_can_not_be_is_unreachable_at_once(caplog: pytest.LogCaptureFixture) -> None:
    host = "a" * 64 + ".test"  # no label is as long, so nobody is asked for it
    place = Place(registry=host, host=host, repository="app")
    with (
        caplog.at_level(logging.INFO, "layerstore"),
        asking(place) as repository,
        pytest.raises(RegistryUnreachable, match="no host has"),
    ):
        repository.manifest("1")
    assert caplog.records == []


@pytest.mark.parametrize("has_login", [True, False])
def test_a_proxy_of_the_environment_is_asked_instead(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, has_login: bool
) -> None:
    login = "me:m%40ne@" if has_login else ""
    monkeypatch.setenv("http_proxy", f"http://{login}{fake.host}")
    monkeypatch.setenv("no_proxy", "direct.test,.within.test, 192.0.2.0/24,x/y")
    fake.when("^GET http://registry.test/v2/app/manifests", says(body=MANIFEST))

    def place(host: str) -> Place:
        return Place(registry=host, host=host, repository="app", schemes=("http",))

    with asking(place("registry.test")) as repository:
        repository.manifest("1")
    (request,) = fake.requests
    expected = "Basic bWU6bUBuZQ==" if has_login else None
    assert request.headers.get("proxy-authorization") == expected
    local = place(f"127.0.0.1:{_closed_port()}")
    with asking(local) as repository, pytest.raises(RegistryUnreachable):
        repository.manifest("1")
    assert len(fake.requests) == 1
    for direct in ("direct.test", "a.within.test:5000", "localhost", "[::1]:80"):
        assert Proxies().for_url(f"http://{direct}/v2/") is None
    assert Proxies().for_url("http://192.0.2.7:5000/v2/") is None
    assert Proxies().for_url("http://192.0.3.7:5000/v2/") == f"http://{login}{fake.host}"


@pytest.mark.parametrize("answer", ["407 Proxy Authentication Required", "200 OK"])
def test_tls_goes_through_a_proxy(fake: Fake, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setenv("https_proxy", f"http://me:s3cret@{fake.host}")
    fake.when("^CONNECT registry.test:443", writes(f"HTTP/1.1 {answer}\n\n"))
    place = Place(registry="registry.test", host="registry.test", repository="app")
    with asking(place) as repository, pytest.raises(RegistryUnreachable) as caught:
        repository.manifest("1")
    assert ("407" in str(caught.value)) == ("407" in answer)
    assert "s3cret" not in repr(caught.value)
    assert fake.requests[0].headers["proxy-authorization"] == "Basic bWU6czNjcmV0"


@pytest.mark.parametrize("host", ["localhost:0", "localhost:99999", "a..test:5000"])
def test_a_host_that_can_not_be_asked_is_named(host: str) -> None:
    place = Place(registry=host, host=host, repository="app", schemes=BOTH)
    with asking(place) as repository, pytest.raises(RegistryUnreachable) as caught:
        repository.manifest("1")
    assert f"{host}: manifest 1 of app: no host has" in str(caught.value)


def test_where_no_host_is_nobody_is_sent_by_a_proxy(
    fake: Fake, other: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", other.url)
    fake.when("manifests", says("307 Elsewhere", Location="https://.example.org/"))
    with asking(place_of(fake)) as repository, pytest.raises(RegistryError, match="to no URL"):
        repository.manifest("1")
    assert other.requests == []


def test_a_proxy_that_is_none_is_a_clear_error(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://me:s3cret@example.org")
    place = Place(registry="r.test", host="r.test", repository="app", schemes=("http",))
    with asking(place) as repository, pytest.raises(RegistryError, match="proxy") as caught:
        repository.manifest("1")
    assert "s3cret" not in repr(caught.value)


@pytest.fixture
def notes() -> list[str]:
    return []


def _mirrored(mirror: Fake, registry: Fake) -> tuple[Place, Place]:
    return place_of(mirror, "cache/app", is_mirror=True), place_of(registry)


def test_a_mirror_is_asked_first(fake: Fake, other: Fake, notes: list[str]) -> None:
    other.when("/v2/cache/app/manifests/1", says(body=MANIFEST))
    fake.when("manifests/2", says(body=MANIFEST))
    with asking(*_mirrored(other, fake), notice=notes.append) as repository:
        assert repository.manifest("1").content == MANIFEST
        assert repository.manifest("2").content == MANIFEST
        with pytest.raises(NotInRegistry):
            repository.manifest("3")
    assert len(other.requests) == 3
    assert fake.asked() == [f"GET /v2/team/app/manifests/{tag}" for tag in "23"]
    assert notes == []


@pytest.mark.parametrize(
    "saying",
    [
        says("500 Oh"),
        says("403 Forbidden"),
        says("401 No", WWW_Authenticate='Basic realm="x"'),
        says(body=MANIFEST + b" "),
        says(body=b" " * 100, Content_Length=1 << 40),
        writes(""),
    ],
    ids=["500", "403", "401", "wrong", "large", "broken"],
)
def test_a_mirror_that_fails_is_passed_over_and_told_of_once(
    fake: Fake, other: Fake, notes: list[str], saying: Saying
) -> None:
    digest = digest_of(MANIFEST)
    other.when("manifests", saying)
    fake.when("", says(body=MANIFEST))
    with asking(*_mirrored(other, fake), notice=notes.append) as repository:
        assert repository.manifest(digest).content == MANIFEST
        assert repository.blob(digest, None, 1000) == MANIFEST
        with repository.open_blob(digest, len(MANIFEST)) as stream:
            assert stream.read() == MANIFEST
    assert len(other.requests) <= 2
    assert len(notes) == 1
    assert other.host in notes[0]


def test_a_blob_goes_on_at_the_registry_where_a_mirror_fails(
    fake: Fake, other: Fake, notes: list[str]
) -> None:
    content = b"0123456789" * 100
    other.when("blobs", serves(content, cut=300), says("500 Oh"))
    fake.when("blobs", serves(content))
    digest = digest_of(content)
    with (
        asking(*_mirrored(other, fake), notice=notes.append) as repository,
        repository.open_blob(digest, len(content)) as stream,
        repository.open_blob(digest, len(content)) as second,
    ):
        assert b"".join(iter(lambda: stream.read(100), b"")) == content
        assert b"".join(iter(lambda: second.read(100), b"")) == content
    assert fake.requests[0].headers["range"] == "bytes=300-"
    assert len(notes) == 1


def test_a_mirror_is_not_pushed_to_and_has_no_say_in_tags(fake: Fake, other: Fake) -> None:
    fake.when("tags", says(body=b'{"tags":["a"]}'))
    with asking(*_mirrored(other, fake), push=True) as repository:
        assert repository.has_blob(digest_of(b"")) is None
    with asking(*_mirrored(other, fake)) as repository:
        assert repository.tags() == ["a"]
    assert other.requests == []


def test_a_mirror_of_a_name_that_leads_elsewhere_is_refused(fake: Fake, other: Fake) -> None:
    mirror = place_of(other, "../app", is_mirror=True)
    with pytest.raises(InvalidName), asking(mirror, place_of(fake)):
        pass
