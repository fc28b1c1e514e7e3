"""The registries that tests share, each started when it is first wanted.

Tests that take one are marked with `NEEDED` of `daemon`, and keep to repositories of their own
names.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.registries.certificates import Authority
from tests.support.registries.daemon import Registry, running
from tests.support.registries.proxy import Proxy, Storage
from tests.support.registries.tokens import TokenServer, new_tokens

DRESSES = (
    "registry",
    "tls_registry",
    "password_registry",
    "plain_password_registry",
    "token_registry",
)


@pytest.fixture(scope="session", params=DRESSES)
def any_registry(request: pytest.FixtureRequest) -> Registry:
    """Each of those below in turn."""
    found: Registry = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the certificates of what tests start."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that speaks HTTP and asks nobody who they are."""
    with running(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="session")
def tls_registry(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Registry]:
    """One that speaks TLS, with a certificate of `authority`."""
    place = tmp_path_factory.mktemp("registry")
    with running(place, certificate=authority.issue(), authority=authority.certificate) as started:
        yield started


@pytest.fixture(scope="session")
def password_registry(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Registry]:
    """One that speaks TLS and asks for a password, which `login` of it has."""
    with running(
        tmp_path_factory.mktemp("registry"),
        certificate=authority.issue(),
        authority=authority.certificate,
        with_password=True,
    ) as started:
        yield started


@pytest.fixture(scope="session")
def plain_password_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One that asks for a password over plain HTTP."""
    with running(tmp_path_factory.mktemp("registry"), with_password=True) as started:
        yield started


@pytest.fixture(scope="session")
def token_server(authority: Authority) -> Iterator[TokenServer]:
    """Who grants access to `token_registry`; it speaks HTTP."""
    with new_tokens(authority) as tokens:
        yield tokens


@pytest.fixture(scope="session")
def token_registry(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, token_server: TokenServer
) -> Iterator[Registry]:
    """One that speaks HTTP and wants tokens of `token_server`."""
    place = tmp_path_factory.mktemp("registry")
    with running(place, tokens=token_server, signers=authority.certificate) as started:
        yield started


@pytest.fixture
def proxy(registry: Registry) -> Iterator[Proxy]:
    """A proxy before `registry`, which does nothing else until a test tells it `when`."""
    with Proxy(registry=registry) as started:
        yield started


@pytest.fixture
def storage(registry: Registry) -> Iterator[Storage]:
    """Another host that has the blobs of `registry`."""
    with Storage(registry=registry) as started:
        yield started
