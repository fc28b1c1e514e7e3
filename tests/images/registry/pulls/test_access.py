"""Pulling from registries that ask who one is: passwords and tokens go where they belong, only."""

from __future__ import annotations

import base64
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from layerstore import AccessDenied, LayerStore, RegistryError
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.settings import RegistrySettings
from tests.images.registry.pulls.pulling import client, pull
from tests.images.samples import files_of
from tests.support.registries.certificates import Authority
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import challenged, redirected
from tests.support.registries.http import Server
from tests.support.registries.images import put_layers
from tests.support.registries.proxy import Proxy, Storage
from tests.support.registries.tokens import PASSWORD, SERVICE, USER, TokenServer
from tests.support.tars import layer_tar

pytestmark = NEEDED

FILES = {"a": b"1"}
LAYERS = [layer_tar({"a": b"1"})]
GOOD = Login(user=USER, secret=PASSWORD)
BAD = Login(user=USER, secret="sesame, open")
SHOWN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def asking(registry: Registry, login: Login | None, host: str = "") -> RegistryClient:
    """Return a client of a registry, or of what is at `host` before it."""
    files = (str(registry.authority),) if registry.authority else ()
    return client(host or registry.host, login, settings=RegistrySettings(ca_files=files))


@pytest.fixture
def placed(any_registry: Registry, tmp_path: Path) -> str:
    """The name of an image in each registry in turn."""
    return put_layers(any_registry, LAYERS, "access/app:1", tmp_path)


def test_an_image_is_pulled_in_every_dress_by_who_may(
    store: LayerStore,
    any_registry: Registry,
    placed: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    store.trace_to(tmp_path / "trace")
    if any_registry.login is not None:
        for login in (None, BAD):
            with pytest.raises(AccessDenied, match=r"none|401") as denied:
                pull(store, placed, by=asking(any_registry, login))
            assert BAD.secret not in f"{denied.value!r} {denied.value}"
        assert store.images.list() == []
    image = pull(store, placed, by=asking(any_registry, GOOD if any_registry.login else None))
    assert files_of(store, image.id) == FILES
    store.trace_to(None)
    traced = (tmp_path / "trace").read_bytes()
    assert b"AddImage" in traced
    for secret in (PASSWORD, BAD.secret, SHOWN):
        assert secret not in caplog.text
        assert secret.encode() not in traced


def test_an_authority_that_nobody_knows_is_believed_only_where_that_was_said(
    store: LayerStore, tls_registry: Registry, tmp_path: Path
) -> None:
    name = put_layers(tls_registry, LAYERS, "trusted/app:1", tmp_path)
    with pytest.raises(RegistryError, match=r"certificate|CERTIFICATE"):
        pull(store, name, by=client(settings=RegistrySettings(verify=True)))
    assert pull(store, name, by=client(settings=RegistrySettings(verify=False))).names


def test_a_refresh_token_is_as_good_as_a_password(
    store: LayerStore, token_registry: Registry, token_server: TokenServer, tmp_path: Path
) -> None:
    name = put_layers(token_registry, LAYERS, "refreshed/app:1", tmp_path)
    login = Login(identity_token=token_server.refresh_token())
    image = pull(store, name, by=asking(token_registry, login))
    assert files_of(store, image.id) == FILES
    assert token_server.requests[-1].method == "POST"


def test_a_token_that_is_refused_in_the_middle_is_got_anew(
    store: LayerStore, token_registry: Registry, token_server: TokenServer, tmp_path: Path
) -> None:
    put_layers(token_registry, LAYERS, "expiring/app:1", tmp_path)
    scope = "repository:expiring/app:pull"
    challenge = f'Bearer realm="{token_server.realm}",service="{SERVICE}",scope="{scope}"'
    with Proxy(registry=token_registry) as proxy:
        proxy.when("^GET .*/blobs/", challenged(challenge), times=1, after=1)
        before = token_server.granted.count([scope])
        image = pull(
            store, proxy.name("expiring/app:1"), by=asking(token_registry, GOOD, proxy.host)
        )
    assert files_of(store, image.id) == FILES
    assert token_server.granted.count([scope]) == before + 2


def test_a_redirect_to_another_host_is_followed_without_the_password(
    store: LayerStore, plain_password_registry: Registry, tmp_path: Path
) -> None:
    put_layers(plain_password_registry, LAYERS, "redirected/app:1", tmp_path)
    with (
        Storage(registry=plain_password_registry) as storage,
        Proxy(registry=plain_password_registry) as proxy,
    ):
        proxy.when("^GET .*/blobs/", redirected(storage.url))
        by = asking(plain_password_registry, GOOD, proxy.host)
        image = pull(store, proxy.name("redirected/app:1"), by=by)
        assert files_of(store, image.id) == FILES
        assert len(storage.requests) == 2
        assert all("authorization" not in request.headers for request in storage.requests)
        shown = [request.headers.get("authorization") for request in proxy.requests]
        assert set(shown[1:]) == {f"Basic {SHOWN}"}


def test_a_password_goes_nowhere_unencrypted_because_a_registry_says_so(
    store: LayerStore, registry: Registry, authority: Authority
) -> None:
    with (
        Server() as elsewhere,
        Proxy(registry=registry, tls=authority.server_context()) as proxy,
    ):
        proxy.when("/v2/", challenged(f'Bearer realm="{elsewhere.url}/token",service="x"'))
        behind = replace(registry, port=proxy.port, authority=authority.certificate)
        with pytest.raises(RegistryError, match="encrypted"):
            pull(store, proxy.name("any/app:1"), by=asking(behind, GOOD))
        assert elsewhere.requests == []


def test_a_password_is_for_those_who_speak_tls_unless_that_was_said_of_them(
    store: LayerStore, plain_password_registry: Registry
) -> None:
    with Proxy(registry=plain_password_registry) as proxy:
        by = client(proxy.host, GOOD, settings=RegistrySettings(verify=True))
        with pytest.raises(RegistryError):
            pull(store, proxy.name("any/app:1"), by=by)
        assert proxy.requests == []
