"""Manifests and tags are what was asked for, or a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from layerstore.drivers.errors import (
    AccessDenied,
    IntegrityError,
    InvalidName,
    LimitExceeded,
    NotInRegistry,
    RegistryError,
    RegistryUnreachable,
)
from layerstore.images.registry.manifests import KNOWN, OCI_INDEX, OCI_MANIFEST
from layerstore.images.registry.repository import MAX_MANIFEST, Repository
from tests.images.registry.client.fake import (
    MANIFEST,
    OCI,
    PATIENCE,
    Fake,
    Saying,
    asking,
    digest_of,
    for_ever,
    place_of,
    says,
    silent,
    writes,
)

_INDEX = json.dumps({"schemaVersion": 2, "manifests": []}).encode()


def _json(**about: object) -> bytes:
    return json.dumps({"schemaVersion": 2, **about}).encode()


@pytest.mark.parametrize("wanted", ["1.0", digest_of(MANIFEST), digest_of(MANIFEST, "sha512")])
def test_a_manifest_is_fetched_by_tag_and_by_digest(fake: Fake, wanted: str) -> None:
    fake.when(f"GET /v2/team/app/manifests/{wanted}$", says(body=MANIFEST, Content_Type=OCI))
    with asking(place_of(fake)) as repository:
        found = repository.manifest(wanted)
    assert found.digest == (wanted if ":" in wanted else digest_of(MANIFEST))
    assert (found.media_type, found.content) == (OCI, MANIFEST)
    (request,) = fake.requests
    assert request.headers["accept"].split(", ") == list(KNOWN)
    assert request.headers["user-agent"].startswith("layerstore/")


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (_INDEX, "application/json", OCI_INDEX),
        (_INDEX, OCI_INDEX + "; charset=utf-8", OCI_INDEX),
        (_json(layers=[]), "", OCI_MANIFEST),
        (_json(layers=[], mediaType="application/x-odd"), "text/plain", "application/x-odd"),
        (_json(manifests=None, layers=[]), OCI_MANIFEST, OCI_MANIFEST),
    ],
)
def test_a_manifest_says_itself_what_it_is_where_its_header_does_not(
    fake: Fake, content: bytes, content_type: str, expected: str
) -> None:
    fake.when("manifests", says(body=content, Content_Type=content_type))
    with asking(place_of(fake)) as repository:
        assert repository.manifest("1").media_type == expected


_OTHER = digest_of(b"other")
_LONG = "HTTP/1.1 200 OK\nContent-Length: 104857600\n\n"
_UNKNOWN = "HTTP/1.1 200 OK\n\n"
_BAD: dict[str, tuple[Saying, type[Exception], str]] = {
    "other content": (says(body=MANIFEST + b" "), IntegrityError, "should be sha256:"),
    "another digest in its header": (
        says(body=MANIFEST, Docker_Content_Digest=_OTHER),
        IntegrityError,
        f"should be {_OTHER}",
    ),
    "not JSON": (says(body=b"<html>"), RegistryError, "isn't a manifest's JSON"),
    "not an object": (says(body=b"[]"), RegistryError, "isn't a manifest's JSON"),
    "nested": (says(body=b'{"layers":' + b"[" * 100_000), RegistryError, "manifest's JSON"),
    "schema 1": (says(body=_json(schemaVersion=1)), RegistryError, "schema 1"),
    "signed schema 1": (
        says(
            body=MANIFEST, Content_Type="application/vnd.docker.distribution.manifest.v1+prettyjws"
        ),
        RegistryError,
        "schema 1",
    ),
    "two things": (says(body=_json(layers=[], manifests=[])), RegistryError, "at once"),
    "sent as another": (
        says(body=MANIFEST, Content_Type=OCI_INDEX),
        RegistryError,
        "but sent as",
    ),
    "100 MB": (for_ever(_LONG, b" " * 65536), LimitExceeded, str(MAX_MANIFEST)),
    "100 MB to come": (silent(_LONG), LimitExceeded, str(MAX_MANIFEST)),
    "without an end": (for_ever(_UNKNOWN, b" " * 65536), LimitExceeded, str(MAX_MANIFEST)),
    "not there": (says("404 Not Found"), NotInRegistry, "404 Not Found"),
    "forbidden": (says("403 Forbidden"), AccessDenied, "403 Forbidden"),
    "unauthorized": (says("401 Unauthorized"), AccessDenied, "401 Unauthorized"),
    "odd": (
        says("418 I'm a teapot", b'{"errors":[{"code":"TEA","message":"hot","detail":{"a":1}}]}'),
        RegistryError,
        "418 I'm a teapot: TEA: hot",
    ),
    "hostile words": (
        says("400 Bad", json.dumps({"errors": [{"message": "\x1b[2J" * 1000}]}).encode()),
        RegistryError,
        r"400 Bad: \\x1b\[2J",
    ),
    "words without an end": (
        for_ever("HTTP/1.1 400 Bad\n\n", b" " * 65536),
        RegistryError,
        "400 Bad$",
    ),
}


@pytest.mark.parametrize("case", _BAD)
def test_what_is_no_manifest_is_a_clear_error(fake: Fake, case: str) -> None:
    saying, kind, words = _BAD[case]
    fake.when("manifests", saying)
    wanted = digest_of(MANIFEST) if case == "other content" else "1"
    with asking(place_of(fake)) as repository, pytest.raises(kind, match=words) as caught:
        repository.manifest(wanted)
    assert type(caught.value) is kind
    assert len(str(caught.value)) < 1200
    assert str(caught.value).isprintable()
    assert len(fake.requests) == 1


def test_a_head_that_says_two_lengths_leaves_nothing_open(fake: Fake) -> None:
    fake.when("manifests", writes("HTTP/1.1 200 OK\nContent-Length: 10,11\n\n", MANIFEST))
    with asking(place_of(fake)) as repository, pytest.raises(RegistryUnreachable) as caught:
        repository.manifest("1")
    assert "10,11" in str(caught.value)
    assert len(fake.requests) == PATIENCE.attempts


def test_a_manifest_may_be_described_without_being_fetched(fake: Fake) -> None:
    digest = digest_of(MANIFEST)
    fake.when("HEAD .*/1$", says(body=MANIFEST, Content_Type=OCI, Docker_Content_Digest=digest))
    fake.when("HEAD .*/2$", says(body=MANIFEST, Content_Type=OCI))
    fake.when("GET .*/2$", says(body=MANIFEST, Content_Type=OCI))
    with asking(place_of(fake)) as repository:
        first, second = repository.described("1"), repository.described("2")
        assert repository.described("3") is None
    assert first is not None
    assert (first.digest, first.media_type, first.size) == (digest, OCI, len(MANIFEST))
    assert second == first
    assert fake.asked("^GET") == ["GET /v2/team/app/manifests/2"]


def test_where_no_head_is_taken_a_manifest_is_fetched_to_be_described(fake: Fake) -> None:
    fake.when("HEAD", says("405 Method Not Allowed"))
    fake.when("GET .*/1$", says(body=MANIFEST, Content_Type=OCI))
    with asking(place_of(fake)) as repository:
        found = repository.described("1")
        assert repository.described("2") is None
    assert found is not None
    assert (found.digest, found.media_type, found.size) == (digest_of(MANIFEST), OCI, len(MANIFEST))


def test_a_description_of_another_digest_is_refused(fake: Fake) -> None:
    fake.when("HEAD", says(body=MANIFEST, Docker_Content_Digest=_OTHER))
    with asking(place_of(fake)) as repository, pytest.raises(IntegrityError):
        repository.described(digest_of(MANIFEST))


_NAMES: list[Callable[[Repository], object]] = [
    lambda r: r.manifest("../../secret"),
    lambda r: r.manifest("a/b"),
    lambda r: r.manifest(""),
    lambda r: r.manifest("1\r\nX: y"),
    lambda r: r.manifest("sha256:" + "A" * 64),
    lambda r: r.manifest("sha256:12"),
    lambda r: r.manifest("md5:" + "0" * 32),
    lambda r: r.described("a b"),
    lambda r: r.blob("../x", None, 10),
    lambda r: r.open_blob("sha256:..", 10),
    lambda r: r.has_blob("1"),
]


@pytest.mark.parametrize("number", range(len(_NAMES)))
def test_what_is_no_tag_or_digest_is_not_asked_for(fake: Fake, number: int) -> None:
    with asking(place_of(fake)) as repository, pytest.raises(InvalidName):
        _NAMES[number](repository)
    assert fake.requests == []


@pytest.mark.parametrize("name", ["../app", "a//b", "a/../b", "A", "", "a/", "a?b", "a#b", "a%2e"])
def test_a_repository_goes_nowhere_else(fake: Fake, name: str) -> None:
    with pytest.raises(InvalidName), asking(place_of(fake, name)):
        pass


def _page(*tags: str) -> bytes:
    return json.dumps({"name": "team/app", "tags": tags}).encode()


def test_tags_are_listed_page_by_page(fake: Fake) -> None:
    fake.when(
        r"list\?last=b",
        says(body=_page("c", "-odd", "\x1b"), Link='<list?last=c>; title="x"; REL=next'),
    )
    fake.when(r"list\?last=c", says(body=b'{"tags": null}', Link='</v2/>; rel="prev"'))
    fake.when(
        "list$", says(body=_page("a", "b"), Link='</v2/team/app/tags/list?last=b>;rel="next"')
    )
    with asking(place_of(fake)) as repository:
        assert repository.tags() == ["a", "b", "c"]


_LISTS: dict[str, tuple[Saying, type[Exception], str]] = {
    "on another host": (
        says(body=_page("a"), Link='<http://example.org/v2/x>; rel="next"'),
        RegistryError,
        "another host",
    ),
    "at no URL": (
        says(body=_page("a"), Link='<http://[::1/>; rel="next"'),
        RegistryError,
        "another host",
    ),
    "for ever": (says(body=_page("a"), Link='<list?again>; rel="next"'), LimitExceeded, "pages"),
    "of all there is": (
        says(body=_page("a" * (12 << 20)), Link='<list?again>; rel="next"'),
        LimitExceeded,
        "^tags of team/app",
    ),
    "not JSON": (says(body=b"<"), RegistryError, "isn't a list"),
    "of numbers": (says(body=b'{"tags":[1]}'), RegistryError, "isn't a list"),
    "not there": (says("404 Not Found"), NotInRegistry, "tags of team/app"),
}


@pytest.mark.parametrize("case", _LISTS)
def test_tags_that_are_no_list_are_a_clear_error(fake: Fake, case: str) -> None:
    saying, kind, words = _LISTS[case]
    fake.when("tags/list", saying)
    with asking(place_of(fake)) as repository, pytest.raises(kind, match=words):
        repository.tags()
    assert len(fake.requests) <= 5
