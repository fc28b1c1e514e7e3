"""Headers are read as they are written, however long they are."""

from __future__ import annotations

import itertools

import pytest

from layerstore.images.registry.wire.challenges import challenges
from layerstore.images.registry.wire.links import next_link
from layerstore.images.registry.wire.urls import is_web, joined, origin_of, path_of, site_of


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        ("Basic", [("basic", {})]),
        ("Negotiate", [("negotiate", {})]),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('bEARER Realm = "a,\\"b" , scope="x y"', [("bearer", {"realm": 'a,"b', "scope": "x y"})]),
        (
            'Bearer realm="a",Basic realm="b"',
            [("bearer", {"realm": "a"}), ("basic", {"realm": "b"})],
        ),
        (', ,Bearer realm="a",,scope=s', [("bearer", {"realm": "a", "scope": "s"})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('Bearer realm="a', [("bearer", {})]),
        ("", []),
        ("=,=", []),
    ],
)
def test_challenges_are_read_as_they_are_written(
    header: str, expected: list[tuple[str, dict[str, str]]]
) -> None:
    found = [(challenge.scheme, challenge.parameters) for challenge in challenges([header])]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize("text", ['Bearer realm="' + "\\" * 100_000, "a " * 50_000, "a=," * 50_000])
def test_challenges_that_are_long_take_no_time(text: str) -> None:
    assert len(challenges([text])) < 10_000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<a>; rel="next"', "a"),
        ("<a>;rel=next", "a"),
        ('<a>; rel="prev", <b>; title="x, y"; rel="next"', "b"),
        ('<a>; rel="nextish"', None),
        ("a; rel=next", None),
        ("<>; rel=next", ""),
        ("<" * 100_000, None),
    ],
)
def test_links_are_read_as_they_are_written(header: str, expected: str | None) -> None:
    assert next_link([header]) == expected


_HOSTS = (
    "[::1]",
    "[::ffff:192.0.2.1]",
    "[v1.x]",
    "[",
    "a.test",
    "A.test.",
    "me@a.test",
    "",
    "a\\b",
    ".a.test",
    "a..test",
    "a" * 64 + ".test",
)
_PORTS = ("", ":", ":0", ":443", ":99999", ":x")
_PATHS = ("", "/", "/a/../b?c=d#e", "?a", "#a", "/\x7f", "//")
_URLS = [
    "".join(parts) for parts in itertools.product(("", "http://", "//"), _HOSTS, _PORTS, _PATHS)
]


def test_a_url_that_is_gone_to_can_be_taken_apart() -> None:
    whole = [url for url in _URLS if is_web(url)]
    relative = [url for text in _URLS if (url := joined("https://a.test/v2/", text)) is not None]
    assert len(whole) > 50
    assert len(relative) > 200
    for url in (*whole, *relative):
        scheme, host = origin_of(url)
        assert is_web(f"{scheme}://{host}{path_of(url)}")
        assert host.encode("idna")
        assert origin_of(site_of(url)) == (scheme, host)
