"""Blobs come whole, go on where they broke off, and never bring more than they should."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from layerstore.drivers.errors import (
    IntegrityError,
    LimitExceeded,
    NotInRegistry,
    RegistryError,
    RegistryUnreachable,
)
from layerstore.images.registry.download import BlobStream
from layerstore.images.registry.logins.login import Login
from tests.images.registry.client.fake import (
    PATIENCE,
    Fake,
    Saying,
    asking,
    digest_of,
    for_ever,
    place_of,
    says,
    serves,
    silent,
    writes,
)

CONTENT = bytes(range(256)) * 400
SIZE = len(CONTENT)
DIGEST = digest_of(CONTENT)


@dataclass
class Got:
    """What was read of a blob, until its end or an error."""

    content: bytes = b""

    def read(self, stream: BlobStream, piece: int = 10_000) -> bytes:
        with stream:
            while part := stream.read(piece):
                assert len(part) <= piece
                self.content += part
                assert stream.position == len(self.content)
        return self.content


@pytest.mark.parametrize("piece", [1000, 1 << 30])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_comes_in_pieces(fake: Fake, piece: int, algorithm: str) -> None:
    digest = digest_of(CONTENT, algorithm)
    fake.when(f"GET /v2/team/app/blobs/{digest}$", serves(CONTENT))
    with asking(place_of(fake)) as repository:
        assert Got().read(repository.open_blob(digest, SIZE), piece) == CONTENT
    assert len(fake.requests) == 1


def test_a_blob_may_be_of_nothing_and_come_in_chunks(fake: Fake) -> None:
    chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (CONTENT[:1000], CONTENT[1000:])]
    fake.when("/blobs/", writes(chunked, *parts, b"0\r\n\r\n"))
    with asking(place_of(fake)) as repository:
        assert Got().read(repository.open_blob(DIGEST, SIZE)) == CONTENT
        assert Got().read(repository.open_blob(digest_of(b""), 0)) == b""


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_blob_goes_on_where_its_connection_broke(fake: Fake, has_ranges: bool) -> None:
    tenth = SIZE // 10
    cuts = [tenth * (1 if has_ranges else number) for number in range(1, 10)]
    broken = [serves(CONTENT, cut=cut, has_ranges=has_ranges) for cut in cuts]
    fake.when("/blobs/", *broken, serves(CONTENT, has_ranges=has_ranges))
    with asking(place_of(fake)) as repository:
        assert Got().read(repository.open_blob(DIGEST, SIZE)) == CONTENT
    ranges = [request.headers.get("range") for request in fake.requests]
    assert ranges == [None, *(f"bytes={tenth * number}-" for number in range(1, 10))]


def _head(**fields: object) -> str:
    lines = [f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items()]
    status = "206 Partial Content" if "Content_Range" in fields else "200 OK"
    return f"HTTP/1.1 {status}\n{''.join(lines)}\n"


_HALF = SIZE // 2
_REST = CONTENT[_HALF:]
_PASSING: dict[str, Saying] = {
    "no answer": writes(""),
    "no HTTP": writes("SSH-2.0-x\n\n"),
    "half a head": writes("HTTP/1.1 200 OK\nContent-"),
    "429": says("429 Too Many Requests", Retry_After=0),
    "503": says("503 Service Unavailable", Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"),
    "500": says("500 Internal Server Error", b'{"errors":[{"code":"UNKNOWN"}]}'),
    "502": says("502 Bad Gateway", b"<html>"),
    "504": says("504 Gateway Timeout"),
    "chunks that end": writes(_head(Transfer_Encoding="chunked"), b"5\r\n" + CONTENT[:2]),
    "bad chunks": writes(_head(Transfer_Encoding="chunked"), b"zz\r\n"),
}


@pytest.mark.parametrize("case", _PASSING)
@pytest.mark.parametrize("begun", [False, True])
def test_what_passes_is_waited_for(fake: Fake, case: str, begun: bool) -> None:
    cut = [serves(CONTENT, cut=_HALF)] if begun else []
    fake.when("/blobs/", *cut, _PASSING[case], serves(CONTENT))
    with asking(place_of(fake)) as repository:
        assert Got().read(repository.open_blob(DIGEST, SIZE)) == CONTENT
    assert len(fake.requests) == len(cut) + 2


_LASTING: dict[str, tuple[Saying, type[Exception], str, int]] = {
    "another range": (
        writes(_head(Content_Range=f"bytes 5-{SIZE - 1}/{SIZE}", Content_Length=9), b"x" * 9),
        RegistryError,
        f"asked for bytes from {_HALF} of {SIZE}, it sends 'bytes 5-",
        1,
    ),
    "a range of another size": (
        writes(_head(Content_Range=f"bytes {_HALF}-{SIZE - 1}/9{SIZE}"), _REST),
        RegistryError,
        "it sends",
        1,
    ),
    "no range": (writes(_head(Content_Range="-"), _REST), RegistryError, "it sends '-'", 1),
    "a size that is less": (says(body=CONTENT[:-1]), RegistryError, "rather than", 1),
    "gone": (says("404 Not Found"), NotInRegistry, "404", 1),
    "out of range": (says("416 Range Not Satisfiable"), RegistryError, "416", 1),
    "nothing more": (serves(CONTENT, cut=0), RegistryUnreachable, f"after {_HALF} of {SIZE}", 3),
    "always 500": (says("500 Oh"), RegistryError, "500 Oh", 3),
    "busy for long": (says("429 Busy", Retry_After=31), RegistryError, "again in 31 seconds", 1),
    "chunks of less than nothing": (
        for_ever("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n-1\n", CONTENT),
        RegistryUnreachable,
        "more than it says",
        3,
    ),
    "too much": (
        for_ever(_head(Content_Range=f"bytes {_HALF}-{SIZE - 1}/{SIZE}"), _REST),
        RegistryError,
        f"goes on after {SIZE}",
        1,
    ),
}


@pytest.mark.parametrize("case", _LASTING)
def test_a_blob_that_does_not_go_on_is_a_clear_error(fake: Fake, case: str) -> None:
    saying, kind, words, requests = _LASTING[case]
    fake.when("/blobs/", serves(CONTENT, cut=_HALF), saying)
    got = Got()
    with asking(place_of(fake)) as repository, pytest.raises(kind, match=words) as caught:
        got.read(repository.open_blob(DIGEST, SIZE))
    assert type(caught.value) is kind
    assert got.content == CONTENT[: len(got.content)]
    assert len(got.content) < SIZE or case == "too much"
    assert len(fake.requests) == 1 + requests


def test_a_blob_without_an_end_never_brings_more_than_its_size(fake: Fake) -> None:
    fake.when("/blobs/", for_ever("HTTP/1.1 200 OK\n\n", CONTENT))
    got = Got()
    with (
        asking(place_of(fake)) as repository,
        pytest.raises(RegistryError, match="it goes on after"),
    ):
        got.read(repository.open_blob(DIGEST, SIZE))
    assert len(got.content) < SIZE


def test_what_follows_a_blob_without_an_end_is_not_read(fake: Fake) -> None:
    whole = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nblob\n0\n"
    fake.when("/blobs/", for_ever(whole, b"X: y\r\n" * 10_000))
    digest = digest_of(b"blob")
    with asking(place_of(fake)) as repository:
        assert Got().read(repository.open_blob(digest, 4)) == b"blob"
        with pytest.raises(RegistryUnreachable, match="no end to its head"):
            repository.blob(digest, 4, 4)


@pytest.mark.parametrize(
    ("saying", "words"),
    [
        (
            for_ever(_head(Content_Length=SIZE), b"x", pause=0.002),
            r"it comes at \d+ bytes a second",
        ),
        (for_ever("HTTP/1.1 200 OK\nX: ", b"x", pause=0.002), r"at \d+ bytes a second"),
        (for_ever("", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "no end to its head"),
        (silent(_head(Content_Length=SIZE)), "no answer in time"),
        (silent(), "no answer in time"),
    ],
    ids=["trickle", "head that trickles", "endless head", "stalled", "silent"],
)
def test_a_blob_that_hardly_comes_is_given_up(fake: Fake, saying: Saying, words: str) -> None:
    patience = structs.replace(PATIENCE, attempts=2, silence=0.05, window=0.05, least_speed=100_000)
    fake.when("/blobs/", saying)
    with (
        asking(place_of(fake), patience=patience) as repository,
        pytest.raises(RegistryUnreachable, match=words),
    ):
        Got().read(repository.open_blob(DIGEST, SIZE))
    assert len(fake.requests) == 2


def test_a_blob_that_breaks_after_every_few_bytes_is_given_up(fake: Fake) -> None:
    fake.when("/blobs/", serves(CONTENT, cut=10))
    with asking(place_of(fake)) as repository, pytest.raises(RegistryUnreachable, match="after 40"):
        Got().read(repository.open_blob(DIGEST, SIZE))
    assert len(fake.requests) == PATIENCE.attempts


def test_what_the_registry_lacks_is_had_from_elsewhere_by_nobody(fake: Fake, other: Fake) -> None:
    """A stranger gets no password by asking for one. CVE-2020-15157."""
    fake.when("/blobs/", says("404 Not Found"))
    other.when("/first", says("401 Unauthorized", WWW_Authenticate='Basic realm="x"'))
    other.when("/second", serves(CONTENT, cut=100), serves(CONTENT))
    urls = [f"http://me:mine@{other.host}/b", "ftp://example.org/a", "file:///etc/passwd", "/c", ""]
    urls += ["http://[::1/", f"http://[::1]:{other.port}/", "http://a\\b/", "http://[::1%25x]/"]
    urls += [f"{other.url}/first", f"{other.url}/second?x=%20y", f"{other.url}/third"]
    login = Login(user="me", secret="mine")
    with asking(place_of(fake), login=login) as repository:
        assert Got().read(repository.open_blob(DIGEST, SIZE, urls)) == CONTENT
    assert other.asked() == ["GET /first", "GET /second?x=%20y", "GET /second?x=%20y"]
    assert other.shown() == [None, None, None]


def test_a_manifest_has_nobody_asked_by_everybody(fake: Fake, other: Fake) -> None:
    urls = [f"{other.url}/{number}" for number in range(100)]
    with asking(place_of(fake)) as repository, pytest.raises(NotInRegistry):
        Got().read(repository.open_blob(DIGEST, SIZE, urls))
    assert other.asked() == [f"GET /{number}" for number in range(8)]


def test_what_is_nowhere_is_an_error(fake: Fake, other: Fake) -> None:
    with asking(place_of(fake)) as repository, pytest.raises(NotInRegistry, match=other.host):
        Got().read(repository.open_blob(DIGEST, SIZE, [f"{other.url}/blob"]))


def test_a_small_blob_is_verified(fake: Fake) -> None:
    bad = digest_of(b"bad")
    fake.when(f"/{DIGEST}", serves(CONTENT, cut=10), says("500 Oh"), serves(CONTENT))
    fake.when(f"/{bad}", serves(CONTENT))
    with asking(place_of(fake)) as repository:
        assert repository.blob(DIGEST, SIZE, SIZE) == CONTENT
        assert repository.blob(DIGEST, None, SIZE) == CONTENT
        with pytest.raises(IntegrityError, match=f"should be {bad} but is {DIGEST}"):
            repository.blob(bad, None, SIZE)
        with pytest.raises(IntegrityError, match=f"of 7 bytes but is of {SIZE}"):
            repository.blob(DIGEST, 7, SIZE)
        with pytest.raises(LimitExceeded):
            repository.blob(DIGEST, None, SIZE - 1)
        asked = len(fake.requests)
        with pytest.raises(LimitExceeded):
            repository.blob(DIGEST, SIZE, SIZE - 1)
        assert len(fake.requests) == asked


def test_whether_a_blob_is_there_is_asked_without_fetching_it(fake: Fake) -> None:
    fake.when(f"HEAD .*{DIGEST}", says("500 Oh"), says(body=CONTENT))
    fake.when("HEAD .*", says("404 Not Found"))
    with asking(place_of(fake)) as repository:
        assert repository.has_blob(DIGEST) == SIZE
        assert repository.has_blob(digest_of(b"other")) is None
    assert fake.asked("GET") == []


@pytest.mark.parametrize("refusal", ["405 Method Not Allowed", "501 Not Implemented"])
def test_a_registry_that_takes_no_head_tells_all_the_same(fake: Fake, refusal: str) -> None:
    fake.when("HEAD", says(refusal))
    fake.when(f"GET .*{DIGEST}", serves(CONTENT))
    with asking(place_of(fake)) as repository:
        assert repository.has_blob(DIGEST) == SIZE
        assert repository.has_blob(digest_of(b"other")) is None
    assert len(fake.asked(f"HEAD .*{DIGEST}")) == 1, "it isn't tried again"


def test_a_head_that_does_not_tell_a_size_is_no_answer(fake: Fake) -> None:
    fake.when("HEAD", writes("HTTP/1.1 200 OK\n\n"))
    fake.when(f"GET .*{DIGEST}", serves(CONTENT))
    fake.when("GET", writes("HTTP/1.1 200 OK\n\n", CONTENT))
    with asking(place_of(fake)) as repository:
        assert repository.has_blob(DIGEST) == SIZE
        with pytest.raises(RegistryError, match="its size isn't told"):
            repository.has_blob(digest_of(b"other"))


_CUT = st.integers(0, SIZE).map(lambda cut: serves(CONTENT, cut=cut))
_IGNORANT = st.integers(0, SIZE).map(lambda cut: serves(CONTENT, cut=cut, has_ranges=False))
_FAULTS = st.lists(st.sampled_from(list(_PASSING.values())) | _CUT | _IGNORANT, max_size=12)


@settings(max_examples=max(20, settings().max_examples // 5))
@given(faults=_FAULTS, piece=st.integers(1000, SIZE))
def test_whatever_fails_a_blob_comes_whole_or_with_an_error(
    faults: list[Saying], piece: int
) -> None:
    got = Got()
    with Fake() as fake, asking(place_of(fake)) as repository:
        fake.when("/blobs/", *faults, serves(CONTENT))
        try:
            assert got.read(repository.open_blob(DIGEST, SIZE), piece) == CONTENT
        except RegistryError:
            assert len(fake.requests) >= PATIENCE.attempts
            assert CONTENT.startswith(got.content)
