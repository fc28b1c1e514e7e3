"""The proxy that misbehaves does so: each fault is seen as what it is by a client that is not ours.

What layerstore makes of them is told by the tests of pulling.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archives import digest_of
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import (
    challenged,
    cut,
    dropped,
    endless,
    flipped,
    redirected,
    refused,
    replaced,
    shorter,
    trickle,
)
from tests.support.registries.images import LAYER, Described, put_blob, put_layers, skopeo
from tests.support.registries.proxy import Fault, Proxy, Storage
from tests.support.tars import layer_tar

pytestmark = NEEDED

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def blob(registry: Registry) -> Described:
    return put_blob(registry, "proxied", CONTENT, LAYER)


def _get(
    host: str, path: str, limit: int | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read(limit)
    finally:
        connection.close()


def _path(blob: Described) -> str:
    return f"/v2/proxied/blobs/{blob.digest}"


def test_what_no_rule_is_about_is_passed_on_and_recorded(proxy: Proxy, blob: Described) -> None:
    answer, content = _get(proxy.host, _path(blob))
    assert (answer.status, content) == (200, CONTENT)
    assert proxy.fetched() == [blob.digest]
    answer, content = _get(proxy.host, _path(blob), Range="bytes=1000-")
    assert (answer.status, content) == (206, CONTENT[1000:])


def test_skopeo_puts_and_gets_through_it(proxy: Proxy, tmp_path: Path) -> None:
    beyond = Registry(proxy.port, proxy.registry.place)
    name = put_layers(beyond, [layer_tar({"a": b"proxied"})], "proxied/app:1", tmp_path / "there")
    skopeo(beyond, "copy", f"docker://{name}", f"dir:{tmp_path / 'back'}", side="src")
    assert proxy.asked(r"^PUT /v2/proxied/app/manifests/1$")
    assert len(proxy.fetched()) == 2


CASES: list[tuple[Fault, Callable[[bytes], bool]]] = [
    (flipped(), lambda got: len(got) == len(CONTENT) and digest_of(got) != digest_of(CONTENT)),
    (shorter(0.25), lambda got: got == CONTENT[: len(CONTENT) // 4]),
    (replaced(b"other"), lambda got: got == b"other"),
    (endless(), lambda got: got[: len(CONTENT)] == CONTENT and len(got) == len(CONTENT) * 3),
]


@pytest.mark.parametrize(
    ("fault", "seen"), CASES, ids=["flipped", "shorter", "replaced", "endless"]
)
def test_bodies_are_what_the_fault_makes_of_them(
    fault: Fault, seen: Callable[[bytes], bool], proxy: Proxy, blob: Described
) -> None:
    proxy.when("blobs", fault)
    _, content = _get(proxy.host, _path(blob), len(CONTENT) * 3)
    assert seen(content)


@pytest.mark.parametrize("tenth", range(10))
def test_a_connection_is_cut_where_it_should_be(tenth: int, proxy: Proxy, blob: Described) -> None:
    proxy.when("blobs", cut(tenth / 10))
    with pytest.raises(http.client.IncompleteRead) as cut_short:
        _get(proxy.host, _path(blob))
    assert cut_short.value.partial == CONTENT[: len(CONTENT) * tenth // 10]


def test_a_rule_is_for_so_many_requests_after_so_many(proxy: Proxy, blob: Described) -> None:
    proxy.when("blobs", refused("500 Internal Server Error"), times=2, after=1)
    statuses = [_get(proxy.host, _path(blob))[0].status for _ in range(5)]
    assert statuses == [200, 500, 500, 200, 200]


def test_heads_say_what_they_are_told_to(proxy: Proxy, storage: Storage, blob: Described) -> None:
    proxy.when("blobs", refused("429 Too Many Requests", {"Retry-After": 7}), times=1)
    proxy.when("blobs", challenged('Bearer realm="http://elsewhere.test/token"'), times=1)
    proxy.when("blobs", redirected(storage.url), times=1)
    proxy.when("blobs", dropped(), times=1)
    assert _get(proxy.host, _path(blob))[0].getheader("Retry-After") == "7"
    assert "elsewhere.test" in str(_get(proxy.host, _path(blob))[0].getheader("WWW-Authenticate"))
    assert _get(proxy.host, _path(blob))[0].getheader("Location") == storage.url + _path(blob)
    with pytest.raises(ConnectionError):
        _get(proxy.host, _path(blob))
    assert _get(storage.host, _path(blob), Authorization="secret")[1] == CONTENT
    assert storage.requests[0].headers["authorization"] == "secret"


def test_a_trickle_takes_its_time(proxy: Proxy, blob: Described) -> None:
    proxy.when("blobs", trickle(len(CONTENT) // 4, 0.05))
    begun = time.monotonic()
    assert _get(proxy.host, _path(blob))[1] == CONTENT
    assert time.monotonic() - begun >= 0.14
