"""What a command can be asked for: its words and options, refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerstore import InvalidName, RWLayer, Volume, run, start
from tests.sandbox.conftest import Runs, lines

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

TOO_LONG = "a" * 63 + "ü"


@pytest.mark.parametrize(
    ("argv", "options", "message"),
    [
        ([], {}, "at least one word"),
        ([""], {}, "at least one word"),
        (["a\0b"], {}, "NUL"),
        (["a"], {"workdir": "b"}, "'b': a working directory begins with /"),
        (["a"], {"workdir": "/\0"}, "NUL"),
        (["a"], {"env": {"A": "\0"}}, "'A': a variable's value holds no NUL"),
        (["a"], {"env": {"a=b": "c"}}, "'a=b': a variable's name is not empty and holds no ="),
        (["a"], {"env": {"": "c"}}, "'': a variable's name is not empty"),
        (["a"], {"network": "bridge"}, "'bridge': a network is one of none, host"),
        (["a"], {"hostname": TOO_LONG}, "at most 64 bytes"),
        (["a"], {"time_limit": 0}, "'0': a time limit is more than 0 seconds"),
        (["a"], {"time_limit": -1.5}, "'-1.5': a time limit is more than 0 seconds"),
        (["a"], {"time_limit": float("nan")}, "'nan': a time limit is .* finite"),
        (["a"], {"time_limit": float("inf")}, "'inf': a time limit is .* finite"),
        (["a"], {"volumes": [Volume(source="etc", target="/a")]}, "paths begin with /"),
        (["a"], {"volumes": [Volume(source="/etc", target="/a\0")]}, "NUL"),
        (["a"], {"volumes": [Volume(source="/etc", target="//a/../..")]}, "target can't be /"),
        (["a"], {"volumes": [Volume(source="/etc", target="/")]}, "target can't be /"),
        (["a"], {"volumes": [Volume(source="/etc", target="/proc")]}, "target can't be /proc"),
        (["a"], {"volumes": [Volume(source="/etc", target="/x/../proc/sys/")]}, "can't be /proc"),
    ],
)
def test_what_there_cannot_be_is_refused_before_anything_is_done(
    rw: RWLayer, argv: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidName, match=message):
        run(rw, argv, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidName, match=message):
        start("/missing-here", argv, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("argv", ["ls", b"ls", [b"ls"], [Path("/bin/ls")]])
def test_a_command_is_a_sequence_of_strings(rw: RWLayer, argv: list[str]) -> None:
    with pytest.raises(TypeError, match=r"a command is|a word of a command is"):
        run(rw, argv)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("env", ["A=1"]),
        ("env", {"A": 1}),
        ("volumes", "/a:/b"),
        ("volumes", [("/a", "/b")]),
        ("volumes", [Volume(source=Path("/a"), target="/b")]),  # type: ignore[arg-type]
        ("publish", "80:80"),
        ("dns", [1]),
        ("network", None),
        ("workdir", None),
        ("id_map", 7),
        ("init", "no"),
        ("read_only", 1),
        ("time_limit", "3"),
        ("cpus", "2"),
        ("cpus", True),
        ("memory", 1e9),
        ("pids", "many"),
        ("io", 3),
    ],
)
def test_an_option_of_another_kind_is_refused_by_its_name(
    rw: RWLayer, option: str, value: object
) -> None:
    told = {"env": "env|variables", "volumes": "volumes|a volume's paths"}.get(option, option)
    with pytest.raises(TypeError, match=rf"^({told}) (is|are|and) .*not "):
        run(rw, ["true"], **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("time_limit", [1e30, 2**31 / 1000, 10**400])
def test_a_long_time_limit_is_as_good_as_none(sh: Runs, time_limit: float) -> None:
    assert sh("exit 3", time_limit=time_limit).status == 3


def test_a_host_name_may_be_as_long_as_linux_has_them(sh: Runs) -> None:
    assert lines(sh("hostname", hostname="a" * 64)) == ["a" * 64]
