"""Who asks a registry, by docker's and containers' files and by the programs that they name."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerstore.drivers.errors import InvalidSettings
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.places import Place

_DOCKERS = "home/.docker/config.json"
_RUNNING = "run/containers/auth.json"
_OWN = "home/.config/containers/auth.json"
Read = Callable[..., Credentials]


def auth(user: str, secret: str = "secret") -> dict[str, str]:
    """An entry of a file."""
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A function that writes files, by their paths, and reads the credentials of a machine's."""

    def reading(
        files: dict[str, Any], authfile: str | None = None, **environment: str
    ) -> Credentials:
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / path).write_text(text)
        given = {"XDG_RUNTIME_DIR": "{}/run", **environment}
        return Credentials.read(
            authfile=authfile and f"{tmp_path}/{authfile}",
            home=f"{tmp_path}/home",
            environment={name: value.format(tmp_path) for name, value in given.items()},
        )

    return reading


def place(name: str) -> Place:
    registry, _, repository = name.partition("/")
    return Place(registry=registry, host=registry, repository=repository)


def user(credentials: Credentials, name: str) -> str | None:
    """Who asks at a place, by its registry and repository."""
    login = credentials.for_place(place(name))
    return None if login is None else login.user


AUTHS = {
    "https://index.docker.io/v1/": auth("hub"),
    "a.test": auth("a"),
    "a.test/team": auth("a-team"),
    "a.test/team/app": auth("a-team-app"),
    "https://b.test:5000/v2/": auth("b"),
    "http://c.test": auth("c"),
    "d.test/v1/": auth("d"),
    "docker.io/team": auth("hub-team"),
    "e.test": {},
    "g.test": None,
    "https://f.test": auth("old"),
    "f.test": auth("f"),
    "f.test/team/v1": auth("f-v1"),
}
USERS = {
    "docker.io/library/app": "hub",
    "docker.io/team/app": "hub-team",
    "a.test/app": "a",
    "a.test": "a",
    "a.test/team/other": "a-team",
    "a.test/team/app": "a-team-app",
    "a.test/team/app/more": "a-team-app",
    "a.test/teams/app": "a",
    "a.test:5000/app": None,
    "b.test:5000/app": "b",
    "b.test/app": None,
    "c.test/app": "c",
    "d.test/app": "d",
    "e.test/app": None,
    "g.test/app": None,
    "f.test/app": "f",
    "f.test/team/app": "f",
    "f.test/team/v1": "f-v1",
    "sub.a.test/app": None,
}


@pytest.mark.parametrize("name", USERS)
def test_the_nearest_key_says_who_asks(name: str, read: Read) -> None:
    assert user(read({_DOCKERS: {"auths": AUTHS}}), name) == USERS[name]


def test_files_count_in_containers_order_and_docker_s_is_the_last(read: Read) -> None:
    files = {
        _RUNNING: {"auths": {"a.test": auth("running")}},
        _OWN: {"auths": {"a.test": auth("own"), "b.test": auth("own")}},
        _DOCKERS: {"auths": {key: auth("docker") for key in ("a.test", "b.test", "c.test")}},
    }
    found = read(files)
    assert [user(found, name) for name in ("a.test", "b.test", "c.test", "d.test")] == [
        "running", "own", "docker", None,
    ]  # fmt: skip
    assert str(found.source(place("b.test"))).endswith(_OWN)


def test_a_file_that_is_chosen_is_the_only_one(read: Read) -> None:
    files = {
        "mine.json": {"auths": {"a.test": auth("mine")}},
        _DOCKERS: {"auths": {"a.test": auth("docker"), "b.test": auth("docker")}},
        "config/config.json": {"auths": {"a.test": auth("config")}},
    }
    assert user(read(files, "mine.json"), "a.test") == "mine"
    assert user(read(files, "mine.json"), "b.test") is None
    assert user(read(files, REGISTRY_AUTH_FILE="{}/mine.json"), "a.test") == "mine"
    assert user(read(files, REGISTRY_AUTH_FILE="{}/none.json"), "a.test") is None
    assert user(read(files, DOCKER_CONFIG="{}/config"), "a.test") == "config"
    with pytest.raises(InvalidSettings, match="there is no such file"):
        read(files, "none.json")


def test_an_entry_may_have_tokens_or_words_in_the_clear(read: Read) -> None:
    auths = {
        "a.test": {**auth("me", ""), "identitytoken": "again"},
        "b.test": {"registrytoken": "as it is"},
        "c.test": {"username": "me", "password": "mine"},
        "d.test": auth("me", "with:colons\0\0"),
    }
    found = read({_DOCKERS: {"auths": auths, "credHelpers": None, "HttpHeaders": {"a": "b"}}})
    assert [found.for_place(place(key)) for key in auths] == [
        Login(user="me", identity_token="again"),
        Login(registry_token="as it is"),
        Login(user="me", secret="mine"),
        Login(user="me", secret="with:colons"),
    ]


def test_a_login_that_is_given_is_of_one_registry(read: Read) -> None:
    found = Credentials({"https://index.docker.io/v1/": Login(user="me", secret="mine")})
    assert user(found, "docker.io/library/app") == "me"
    assert user(found, "a.test/app") is None


def test_a_secret_is_in_no_text(read: Read) -> None:
    login = Login(user="me", secret="hidden", identity_token="hidden", registry_token="hidden")
    given = Credentials({"a.test": login})
    files = read({_DOCKERS: {"auths": {"a.test": auth("me", "hidden")}}})
    coded = auth("me", "hidden")["auth"]
    for shown in (repr(login), f"{login}", repr(given), repr(files), repr(login.__rich_repr__())):
        assert "hidden" not in shown
        assert coded not in shown


@pytest.mark.root
def test_where_root_alone_gets_in_nothing_is_kept_for_others() -> None:
    read = """
import os
from layerstore.images.registry.credentials import Credentials
os.seteuid(65534)
print(Credentials.read(home="/nowhere", environment={}))
"""
    script = f"""
mount -t tmpfs -o mode=755 none /run
mkdir -m 700 /run/containers
exec {sys.executable} -c '{read}'
"""
    said = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], check=True, capture_output=True, text=True
    )
    assert said.stdout == "<Credentials of nobody>\n"


BAD = {
    "no JSON": ('{"auths": {"a.test": {"auth": "aGlkZGVu"', "it is no JSON: .*line 1"),
    "no object": ('{"auths": {"a.test": "aGlkZGVu"}}', r"at `auths\[...\]`"),
    "no string": ('{"auths": {"a.test": {"auth": 1}}}', r"at `auths\[...\].auth`"),
    "no base64": ('{"auths": {"a.test": {"auth": "hidden!"}}}', r"auths\['a.test'\].auth is no"),
    "no ASCII": (
        '{"auths": {"a.test": {"auth": "hidden\u00e9"}}}',
        r"auths\['a.test'\].auth is no",
    ),
    "half a password": (r'{"auths": {"a.test": {"password": "\ud800"}}}', "holds half a character"),
    "half": (r'{"\ud800": {}}', "holds half a character"),
    "no colon": ('{"auths": {"a.test": {"auth": "aGlkZGVu"}}}', r"auths\['a.test'\].auth has no"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_named_without_what_is_in_it(what: str, read: Read) -> None:
    text, reason = BAD[what]
    with pytest.raises(InvalidSettings, match=reason) as raised:
        user(read({_OWN: text}), "a.test")
    assert raised.value.path.endswith(_OWN)
    assert "aGlkZGVu" not in str(raised.value)
    assert "hidden" not in str(raised.value)
