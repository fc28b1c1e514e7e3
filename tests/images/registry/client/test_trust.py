"""Where a registry may have any certificate, nobody else may but for what was asked for."""

from __future__ import annotations

import pytest

from layerstore.drivers.errors import RegistryError, RegistryUnreachable
from layerstore.drivers.model.reference import parse_reference
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.places import Place
from layerstore.images.registry.settings import RegistrySettings
from tests.images.registry.client.fake import (
    BASIC,
    LOGIN,
    MANIFEST,
    PATIENCE,
    Everywhere,
    Fake,
    Where,
    asking,
    place_of,
    says,
    wants,
)
from tests.support.registries.certificates import Authority

REFERENCE = parse_reference("example.org/team/app")


@pytest.mark.parametrize(
    ("schemes", "who", "verify_realm", "words"),
    [
        (("http",), "127.1", True, "isn't encrypted"),
        (("http",), "127.1", False, None),
        (("http",), "localhost", True, None),
        (("https",), "127.1", True, "certificate is refused"),
        (("https",), "127.1", False, None),
        (("https",), "localhost", True, None),
    ],
)
def test_a_machine_that_is_trusted_is_not_believed_of_others(
    fake: Fake,
    authority: Authority,
    schemes: tuple[str, ...],
    who: str,
    verify_realm: bool,
    words: str | None,
) -> None:
    # 127.1 is this machine to the system alone.
    tls = authority.server_context() if schemes == ("https",) else None
    with Fake(tls=tls) as tokens:
        tokens.when("token", says(body=b'{"token": "t0"}'))
        realm = f'Bearer realm="{schemes[0]}://{who}:{tokens.port}/token"'
        fake.when("manifests", wants(realm, "Bearer t0", says(body=MANIFEST)))
        place = place_of(fake, verify=False, verify_realm=verify_realm)
        with asking(place, login=LOGIN) as repository:
            if words is None:
                repository.manifest("1")
            else:
                with pytest.raises(RegistryError, match=words):
                    repository.manifest("1")
    assert tokens.shown() == ([BASIC] if words is None else [])


def test_who_has_no_login_is_given_tokens_by_anybody(fake: Fake, other: Fake) -> None:
    realm = f'Bearer realm="http://127.1:{other.port}/token"'
    fake.when("manifests", wants(realm, "Bearer t0", says(body=MANIFEST)))
    other.when("token", says(body=b'{"token": "t0"}'))
    with asking(place_of(fake, verify_realm=True)) as repository:
        repository.manifest("1")
    assert other.shown() == [None]


def test_what_is_insecure_without_anybody_saying_so_is_known() -> None:
    def found(name: str, **more: object) -> tuple[bool, bool]:
        (place,) = RegistrySettings(**more).places(parse_reference(name))  # type: ignore[arg-type]
        return place.verify, place.verify_realm

    assert found("localhost:5000/app") == (False, True)
    assert found("localhost:5000/app", insecure=("127.0.0.0/8",)) == (False, False)
    assert found("localhost:5000/app", verify=False) == (False, False)
    assert found("example.org/app", insecure=("example.org",)) == (False, False)
    assert found("example.org/app") == (True, False)


def test_what_somebody_said_who_may_be_anybody_is_not_told_to_who_is_sure(
    authority: Authority,
) -> None:
    with Fake(tls=authority.server_context()) as registry:
        registry.when("manifests", wants("Basic", BASIC, says(body=MANIFEST)))
        where = Where([place_of(registry, verify=False)])
        with RegistryClient(where, Everywhere(LOGIN), patience=PATIENCE) as client:
            client.repository(REFERENCE).manifest("1")
            where.all = [place_of(registry, ca_files=(str(authority.certificate),))]
            client.repository(REFERENCE).manifest("2")
    assert registry.shown() == [None, BASIC, None, BASIC]


def test_a_proxy_needs_a_good_certificate_whatever_the_registry_needs(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Fake(tls=authority.server_context()) as proxy:
        for scheme, who in (("http", "https"), ("https", "HTTPS")):
            monkeypatch.setenv(f"{scheme}_proxy", f"{who}://me:s3cret@{proxy.host}")
            place = Place(
                registry="r.test", host="r.test", repository="app", schemes=(scheme,), verify=False
            )
            with (
                asking(place) as repository,
                pytest.raises(RegistryUnreachable, match="certificate verify failed"),
            ):
                repository.manifest("1")
    assert proxy.requests == []
