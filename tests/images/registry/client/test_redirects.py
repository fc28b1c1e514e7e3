"""Where a registry sends us on to is gone to, without the login, or a clear error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import urllib3

from layerstore.drivers.errors import AccessDenied, RegistryError
from layerstore.images.registry.upload import Upload
from tests.images.registry.client.fake import (
    BASIC,
    LOGIN,
    Fake,
    asking,
    place_of,
    says,
    serves,
    wants,
    writes,
)


@pytest.mark.parametrize(
    "target", ["{other}/storage?signature=s3cret", "//{host}/storage", "/v2/x"]
)
def test_a_redirect_is_followed_without_the_login(fake: Fake, other: Fake, target: str) -> None:
    content = b"content" * 100
    location = target.format(other=other.url, host=other.host)
    fake.when("blobs", wants("Basic", BASIC, says("307 Elsewhere", b"x", Location=location)))
    fake.when("/v2/x", serves(content))
    other.when("storage", serves(content, cut=10), serves(content))
    with (
        asking(place_of(fake), login=LOGIN) as repository,
        repository.open_blob("sha256:" + "0" * 64, len(content)) as stream,
    ):
        assert b"".join(iter(lambda: stream.read(100), b"")) == content
    assert set(other.shown()) <= {None}
    assert fake.shown()[1] == BASIC
    assert target != "/v2/x" or fake.shown() == [None, BASIC, BASIC]


def test_who_is_led_back_from_elsewhere_is_nobody(fake: Fake, other: Fake) -> None:
    fake.when("app/manifests", wants("Basic", BASIC, says("307 x", Location=f"{other.url}/x")))
    other.when("/x", says("307 Back", Location=f"{fake.url}/v2/victim/manifests/1"))
    fake.when("victim", wants("Basic", BASIC, says()))
    with asking(place_of(fake), login=LOGIN) as repository, pytest.raises(AccessDenied):
        repository.manifest("1")
    assert fake.shown() == [None, BASIC, None]


def test_an_upload_goes_on_elsewhere_without_the_login(fake: Fake, other: Fake) -> None:
    fake.when("POST", wants("Basic", BASIC, says("202 Go on", Location=f"{other.url}/up?a=b")))
    other.when("PUT /up", says("201 Created"))

    @contextlib.contextmanager
    def content() -> Iterator[Iterator[bytes]]:
        yield iter([b"content"])

    with asking(place_of(fake), login=LOGIN, push=True) as repository:
        repository.uploader().upload(Upload("a blob", content))
    assert len(other.asked("^PUT")) == 1
    assert set(other.shown()) == {None}


def test_an_upload_that_is_refused_again_and_again_is_told_in_words(
    fake: Fake, other: Fake
) -> None:
    wanted = f'Bearer realm="{other.url}/token"'
    fake.when("POST", says("202 Go on", Location="/up"))
    fake.when("PUT", says("401 \x1b[31mNo", WWW_Authenticate=wanted))
    other.when("token", *(says(body=b'{"token": "t%d"}' % number) for number in range(20)))

    @contextlib.contextmanager
    def content() -> Iterator[Iterator[bytes]]:
        yield iter([b"content"])

    with (
        asking(place_of(fake), login=LOGIN, push=True) as repository,
        pytest.raises(AccessDenied, match=r"401 \\x1b\[31mNo"),
    ):
        repository.uploader().upload(Upload("a blob", content))


_REDIRECTS = {
    "nowhere": (says("302 Found"), "to no URL"),
    "to a file": (says("302 Found", Location="file:///etc/passwd"), "to no URL"),
    "with a login": (says("302 Found", Location="http://me:mine@example.org/"), "to no URL"),
    "to no URL": (says("302 Found", Location="http://[::1/"), "to no URL"),
    "for ever": (says("302 Found", Location="manifest"), "again and again"),
}


@pytest.mark.parametrize("case", _REDIRECTS)
def test_a_redirect_that_leads_nowhere_is_a_clear_error(fake: Fake, case: str) -> None:
    saying, words = _REDIRECTS[case]
    fake.when("manifest", saying)
    with asking(place_of(fake)) as repository, pytest.raises(RegistryError, match=words):
        repository.manifest("1")
    assert len(fake.requests) <= 11


def test_where_storage_wants_a_login_it_is_denied(fake: Fake, other: Fake) -> None:
    fake.when("manifests", says("307 Elsewhere", Location=f"{other.url}/x"))
    other.when("/x", says("401 Unauthorized", WWW_Authenticate='Basic realm="x"'))
    with asking(place_of(fake), login=LOGIN) as repository, pytest.raises(AccessDenied):
        repository.manifest("1")
    assert other.shown() == [None]


def test_no_log_has_where_a_storage_is(
    fake: Fake, other: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.when("manifests", says("307 Elsewhere", Location=f"{other.url}/x?signature=s3cret"))
    # What is no header has urllib3 warn, too.
    other.when("/x", writes("HTTP/1.1 200 OK\nContent-Length: 5\nno header\n\n", b"12345"))
    with caplog.at_level(logging.DEBUG), asking(place_of(fake)) as repository:
        with pytest.raises(RegistryError):
            repository.manifest("1")
        assert "s3cret" not in caplog.text
        with urllib3.PoolManager() as manager:
            manager.request("GET", f"{other.url}/y?somebody=else", retries=False)
        assert "somebody=else" in caplog.text


def test_only_what_a_url_says_of_its_host_is_told(fake: Fake) -> None:
    location = "http://storage.test:1/x?signature=s3cret"
    place = place_of(fake, schemes=("http",))
    fake.when("manifests", says("307 Elsewhere", Location=location.replace("http:", "gopher:")))
    with asking(place) as repository, pytest.raises(RegistryError) as caught:
        repository.manifest("1")
    assert urlsplit(location).query not in str(caught.value)
