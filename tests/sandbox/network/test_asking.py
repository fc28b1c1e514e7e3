"""What may be asked of a network: docker's grammar, and refusals before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from layerstore import InvalidArgument
from layerstore.drivers.sandbox.network.resolver import resolver_file
from layerstore.sandbox import publishing
from layerstore.sandbox.publishing import published
from layerstore.sandbox.runnable import run_spec


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", ["0.0.0.0:0 -> 80/tcp"]),
        ("8080:80", ["0.0.0.0:8080 -> 80/tcp"]),
        ("127.0.0.1:8080:80/TCP", ["127.0.0.1:8080 -> 80/tcp"]),
        ("127.0.0.1::53/udp", ["127.0.0.1:0 -> 53/udp"]),
        ("8000-8001:80-81", ["0.0.0.0:8000 -> 80/tcp", "0.0.0.0:8001 -> 81/tcp"]),
        ("80-81", ["0.0.0.0:0 -> 80/tcp", "0.0.0.0:0 -> 81/tcp"]),
        (":80", ["0.0.0.0:0 -> 80/tcp"]),
        ("1-65535:7", ["0.0.0.0:1 -> 7/tcp"]),
    ],
)
def test_ports_are_said_as_docker_says_them(text: str, ports: list[str]) -> None:
    assert [str(port) for port in published(text)] == ports


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "0", "65536", "80/sctp", "80/", "81-80", "1-2:1-3", "1-3:1-2", "::80:80:80", "-1",
        "1.2.3:80:80", "[::1]:80:80", "localhost:80:80", "80:", "٣", "80\n", "80:80\0", "0:80",
        "999999", "127.0.0.1:80:80:80",
    ],
)  # fmt: skip
def test_others_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        published(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"publish": ["80:80"]}, "'80:80'.*network none publishes no ports: network private does"),
        ({"publish": ["80"], "network": "host"}, "network host publishes no ports"),
        ({"dns": ["192.0.2.1"]}, "network none is told no resolvers"),
        ({"dns": ["me"], "network": "private"}, "'me'.* IPv4 address"),
        ({"dns": ["192.0.2.9"] * 4, "network": "private"}, "at most 3 resolvers"),
        ({"publish": ["1-500"], "network": "private"}, "at most 200"),
        ({"network": "bridge"}, "one of none, host, private"),
    ],
)
def test_what_there_can_not_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        run_spec(["true"], **options)


def test_ports_are_a_sequence() -> None:
    with pytest.raises(TypeError):
        run_spec(["true"], network="private", publish="80")


def test_without_a_program_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "find_program", lambda: None)
    with pytest.raises(InvalidArgument, match=r"slirp4netns .*or pasta \(Debian: passt\)"):
        run_spec(["true"], network="private")


@pytest.mark.parametrize(
    ("here", "dns", "inside"),
    [
        (b"", [], ["nameserver 10.0.2.3"]),
        (
            b"# written\nsearch a b\nnameserver 127.0.0.53\nnameserver  192.0.2.1\n",
            [],
            ["search a b", "nameserver 10.0.2.3", "nameserver 192.0.2.1"],
        ),
        (
            b"nameserver ::1\nnameserver 2001:db8::1\nnameserver 0.0.0.0\nnameserver\n",
            [],
            ["nameserver 10.0.2.3"],
        ),
        (b"nameserver 192.0.2.1\n" * 5, [], ["nameserver 10.0.2.3", *["nameserver 192.0.2.1"] * 2]),
        (
            b"nameserver 192.0.2.1\noptions edns0",
            ["8.8.8.8"],
            ["options edns0", "nameserver 8.8.8.8"],
        ),
        (b"nameserver \xff\n\xfe", [], ["\udcfe", "nameserver 10.0.2.3"]),
    ],
)
def test_resolvers_inside_follow_this_machine_s(
    here: bytes, dns: list[str], inside: list[str]
) -> None:
    found = resolver_file(here, dns).decode("utf-8", "surrogateescape")
    assert found.splitlines() == inside
