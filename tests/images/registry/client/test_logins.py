"""Who asks is shown to whom it concerns, as that one wants it, and to nobody else."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from layerstore.drivers.errors import AccessDenied, RegistryError
from layerstore.images.registry.logins.login import Login
from tests.images.registry.client.fake import (
    BASIC,
    LOGIN,
    MANIFEST,
    SECRET,
    Fake,
    Saying,
    asking,
    for_ever,
    place_of,
    says,
    wants,
)
from tests.support.registries.http import Connection


def _bearer(realm: str, more: str = "") -> str:
    return f'Bearer realm="{realm}",service="a service"{more}'


def _token(token: str = "t0", **more: object) -> Saying:
    return says(body=json.dumps({"token": token, **more}).encode())


def test_a_password_is_shown_where_it_is_wanted(fake: Fake) -> None:
    fake.when("manifests", wants('Basic realm="x"', BASIC, says(body=MANIFEST)))
    with asking(place_of(fake), login=LOGIN) as repository:
        repository.manifest("1")
        repository.manifest("2")
    assert fake.shown() == [None, BASIC, BASIC]


def test_without_a_login_a_password_that_is_wanted_is_an_error(fake: Fake) -> None:
    fake.when("manifests", wants('Basic realm="x"', BASIC, says(body=MANIFEST)))
    with asking(place_of(fake)) as repository, pytest.raises(AccessDenied, match="wants a login"):
        repository.manifest("1")
    assert fake.shown() == [None]


def test_a_password_that_is_not_good_is_shown_once_and_told_to_nobody(fake: Fake) -> None:
    fake.when("manifests", wants('Basic realm="x"', "another", says(body=MANIFEST)))
    with (
        asking(place_of(fake), login=LOGIN) as repository,
        pytest.raises(AccessDenied, match="401") as caught,
    ):
        repository.manifest("1")
    assert fake.shown() == [None, BASIC]
    told = repr(caught.value) + str(caught.value) + repr(LOGIN)
    assert SECRET not in told
    assert BASIC not in told


@pytest.mark.parametrize("login", [None, LOGIN])
def test_a_token_is_got_of_another_host_and_kept(
    fake: Fake, other: Fake, login: Login | None
) -> None:
    realm = f"{other.url}/token?a=b"
    fake.when("manifests", wants(_bearer(realm), "Bearer t0", says(body=MANIFEST)))
    other.when("GET /token", _token())
    with asking(place_of(fake), login=login) as repository:
        repository.manifest("1")
        repository.manifest("2")
    (asked,) = other.requests
    about = {"a": ["b"], "service": ["a service"], "scope": ["repository:team/app:pull"]}
    assert asked.query == about | ({"account": ["somebody"]} if login else {})
    assert other.shown() == [BASIC if login else None]
    assert fake.shown() == [None, "Bearer t0", "Bearer t0"]


def test_what_is_null_in_a_token_is_not_there(fake: Fake, other: Fake) -> None:
    fake.when("manifests", wants(_bearer(f"{other.url}/t"), "Bearer t0", says(body=MANIFEST)))
    other.when("/t", says(body=b'{"token": null, "access_token": "t0", "expires_in": null}'))
    with asking(place_of(fake)) as repository:
        repository.manifest("1")


def test_a_token_is_got_for_an_identity_token(fake: Fake, other: Fake) -> None:
    forms: list[dict[str, list[str]]] = []

    async def grant(connection: Connection) -> None:
        forms.append(parse_qs((await connection.body()).decode()))
        await connection.answer("200 OK", {}, b'{"access_token": "t0", "expires_in": 3600}')

    realm = f"{other.url}/token"
    fake.when("manifests", wants(_bearer(realm), "Bearer t0", says(body=MANIFEST)))
    other.when("POST /token$", grant)
    login = Login(user="<token>", identity_token="i&d\r\n")
    with asking(place_of(fake), login=login) as repository:
        repository.manifest("1")
    expected = {
        "grant_type": ["refresh_token"],
        "refresh_token": ["i&d\r\n"],
        "client_id": ["layerstore"],
        "service": ["a service"],
        "scope": ["repository:team/app:pull"],
    }
    assert forms == [expected]
    assert other.shown() == [None]


def test_a_token_that_somebody_has_is_shown_as_it_is(fake: Fake) -> None:
    challenge = _bearer("http://nobody.test/")
    fake.when("manifests", wants(challenge, "Bearer mine", says(body=MANIFEST)))
    login = Login(registry_token="mine")
    with asking(place_of(fake), login=login) as repository:
        repository.manifest("1")


def test_a_token_that_is_no_longer_good_is_got_anew_once(fake: Fake, other: Fake) -> None:
    challenge = _bearer(f"{other.url}/token", ',scope="repository:team/app:pull,push"')
    fake.when("/1$", wants(challenge, "Bearer t0", says(body=MANIFEST)))
    fake.when("/2$", wants(challenge, "Bearer t1", says(body=MANIFEST)))
    fake.when("/3$", wants(challenge, "another", says(body=MANIFEST)))
    other.when("token", _token("t0"), _token("t1"), _token("t2"))
    with asking(place_of(fake)) as repository:
        repository.manifest("1")
        repository.manifest("2")
        with pytest.raises(AccessDenied, match="401"):
            repository.manifest("3")
    assert fake.shown() == [None, "Bearer t0", "Bearer t0", "Bearer t1", "Bearer t1", "Bearer t2"]
    scopes = ["repository:team/app:pull", "repository:team/app:pull,push"]
    assert [request.query["scope"] for request in other.requests] == [scopes] * 3


def test_a_token_is_got_anew_before_its_end(fake: Fake, other: Fake) -> None:
    fake.when("manifests", wants(_bearer(f"{other.url}/t"), "Bearer t0", says(body=MANIFEST)))
    other.when("/t", _token(expires_in=1e-9), _token())
    with asking(place_of(fake)) as repository:
        repository.manifest("1")
        repository.manifest("2")
        repository.manifest("3")
    assert len(other.requests) == 2
    assert fake.shown() == [None, *["Bearer t0"] * 3]


def test_who_pushes_asks_for_that(fake: Fake, other: Fake) -> None:
    fake.when("blobs", wants(_bearer(f"{other.url}/t"), "Bearer t0", says(body=b"x")))
    other.when("/t", _token())
    with asking(place_of(fake), push=True) as repository:
        repository.has_blob("sha256:" + "0" * 64)
    assert other.requests[0].query["scope"] == ["repository:team/app:pull,push"]


def test_other_repositories_are_asked_for_by_nobody(fake: Fake, other: Fake) -> None:
    challenge = _bearer(f"{other.url}/t", ',scope="repository:victim/app:pull x:y:z"')
    fake.when("manifests", wants(challenge, "Bearer t0", says(body=MANIFEST)))
    other.when("/t", _token())
    with asking(place_of(fake)) as repository:
        repository.manifest("1")
    assert other.requests[0].query["scope"] == ["repository:team/app:pull"]


_REALMS = [
    "",
    "/token",
    "ftp://{host}/token",
    "http://me:mine@{host}/token",
    "http://{host}/to\\\rken",
    "http://{host}/a token",
    "http://{host}:0/",
    "http://[::1/token",
    "http:///token",
    "javascript:alert(1)",
    "http://{host}/\x85X-Header: 1",
]


@pytest.mark.parametrize("realm", _REALMS)
def test_a_realm_that_is_no_url_is_not_asked(fake: Fake, other: Fake, realm: str) -> None:
    asked = realm.format(host=other.host)
    fake.when("manifests", wants(_bearer(asked), "Bearer t0", says(body=MANIFEST)))
    with asking(place_of(fake), login=LOGIN) as repository, pytest.raises(RegistryError) as caught:
        repository.manifest("1")
    assert type(caught.value) is RegistryError
    assert str(caught.value).isprintable()
    assert other.requests == []


_TOKENS: dict[str, tuple[Saying, type[Exception], str]] = {
    "refused": (says("401 Unauthorized", b'{"details":"incorrect"}'), AccessDenied, "incorrect"),
    "forbidden": (says("403 Forbidden"), AccessDenied, "403"),
    "of OAuth": (says("400 Bad Request", b'{"error":"invalid_grant"}'), AccessDenied, "400"),
    "not there": (says("404 Not Found"), RegistryError, "404"),
    "sent on": (says("302 Found", Location="http://nobody.test/"), RegistryError, "302"),
    "busy": (says("503 Busy"), RegistryError, "503"),
    "not JSON": (says(body=b"<secret>"), RegistryError, "isn't a token's JSON"),
    "of nothing": (says(body=b"{}"), RegistryError, "no token"),
    "of lines": (_token("a\r\nX-Evil: 1"), RegistryError, "no token"),
    "of spaces": (_token("a b"), RegistryError, "no token"),
    "not of ASCII": (_token("ä"), RegistryError, "no token"),
    "large": (_token("a" * 100_000), RegistryError, "no token"),
    "without an end": (for_ever("HTTP/1.1 200 OK\n\n", b" " * 65536), RegistryError, "too long"),
}


@pytest.mark.parametrize("case", _TOKENS)
def test_what_is_no_token_is_a_clear_error(fake: Fake, other: Fake, case: str) -> None:
    saying, kind, words = _TOKENS[case]
    fake.when("manifests", wants(_bearer(f"{other.url}/t"), "Bearer t0", says(body=MANIFEST)))
    other.when("/t", saying)
    with (
        asking(place_of(fake), login=LOGIN) as repository,
        pytest.raises(kind, match=words) as caught,
    ):
        repository.manifest("1")
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)
    assert "Evil" not in str(caught.value)
    assert len(other.requests) == (4 if case == "busy" else 1)


def test_a_token_server_that_is_busy_is_asked_again(fake: Fake, other: Fake) -> None:
    fake.when("manifests", wants(_bearer(f"{other.url}/t"), "Bearer t0", says(body=MANIFEST)))
    other.when("/t", says("429 Busy"), _token())
    with asking(place_of(fake)) as repository:
        repository.manifest("1")
