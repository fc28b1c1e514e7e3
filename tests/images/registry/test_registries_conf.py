"""Where a name is asked for by containers' registries.conf, alone and beside docker's settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from layerstore.drivers.errors import InvalidSettings, RegistryError
from layerstore.drivers.model.reference import parse_reference
from layerstore.images.registry.settings import RegistrySettings
from tests.images.registry.machine import asked, read

_CONF = "etc/containers/registries.conf"
_DROP_INS = "etc/containers/registries.conf.d"
_OWN = "home/.config/containers/registries.conf"
_DIGEST = "sha256:" + "0" * 64


def table(**fields: object) -> str:
    """A [[registry]], with its mirrors as locations or as what they have."""
    mirrors = fields.pop("mirrors", [])
    assert isinstance(mirrors, list)
    lines = ["[[registry]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    for mirror in mirrors:
        lines += ["[[registry.mirror]]"]
        given = {"location": mirror} if isinstance(mirror, str) else mirror
        lines += [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    return "\n".join(lines).replace("_", "-") + "\n"


RULES = (
    table(prefix="a.test/foo", location="b.test/bar")
    + table(prefix="a.test/foo/deep", location="c.test:5000")
    + table(prefix="a.test/foo/app:1", location="d.test/one")
    + table(location="e.test", insecure=True)
    + table(prefix="*.f.test", insecure=True)
    + table(prefix="*.sub.f.test", location="g.test/all/")
    + table(prefix="h.test", location="localhost:5000", insecure=False)
    + table(prefix="i.test", location="b.test/", mirrors=["m.test/i", "n.test"])
    + table(
        location="docker.io/library/app", mirrors=[{"location": "m.test/app", "insecure": True}]
    )
    + table(location="j.test", mirror_by_digest_only=True, mirrors=["m.test"])
    + table(
        location="k.test",
        mirrors=[
            {"location": "m.test", "pull_from_mirror": "tag-only"},
            {"location": "n.test", "pull_from_mirror": "digest-only"},
            {"location": "o.test", "pull_from_mirror": "all"},
        ],
    )
)
PLACES = {
    "a.test/foo/app": "https://b.test/bar/app",
    "a.test/foo": "https://b.test/bar",
    "a.test/foo:1": "https://b.test/bar",
    f"a.test/foo@{_DIGEST}": "https://b.test/bar",
    "a.test/food": "https://a.test/food",
    "a.test:5000/foo/app": "https://a.test:5000/foo/app",
    "a.test/foo/deep/app": "https://c.test:5000/app",
    "a.test/foo/app:1": "https://d.test/one",
    "a.test/foo/app:2": "https://b.test/bar/app",
    "e.test/app": "https+http://e.test/app!",
    "e.test:5000/app": "https+http://e.test:5000/app!",
    "f.test/app": "https://f.test/app",
    "x.f.test/app": "https+http://x.f.test/app!",
    "x.f.test:5000/app": "https+http://x.f.test:5000/app!",
    "x.y.f.test/app": "https+http://x.y.f.test/app!",
    "x.f.tests/app": "https://x.f.tests/app",
    "other.test/x.f.test/app": "https://other.test/x.f.test/app",
    "x.sub.f.test/team/app": "https://g.test/all/team/app",
    "h.test/app": "https://localhost:5000/app",
    "i.test/app": "https://m.test/i/app* https://n.test/app* https://b.test/app",
    "app": "https+http://m.test/app!* https://registry-1.docker.io/library/app",
    "docker.io/app/app": "https://registry-1.docker.io/app/app",
    "j.test/app": "https://j.test/app",
    f"j.test/app:1@{_DIGEST}": "https://m.test/app* https://j.test/app",
    "k.test/app:1": "https://m.test/app* https://o.test/app* https://k.test/app",
    f"k.test/app@{_DIGEST}": "https://n.test/app* https://o.test/app* https://k.test/app",
}


@pytest.mark.parametrize("name", PLACES)
def test_the_longest_prefix_says_where_a_name_is(name: str, tmp_path: Path) -> None:
    assert asked(read(tmp_path, {_CONF: RULES}), name) == PLACES[name].split()


def test_what_is_pushed_goes_where_its_name_says(tmp_path: Path) -> None:
    settings = read(tmp_path, {_CONF: RULES})
    assert asked(settings, "a.test/foo/app", push=True) == ["https://a.test/foo/app"]
    assert asked(settings, "i.test/app", push=True) == ["https://i.test/app"]
    assert asked(settings, "e.test/app", push=True) == ["https+http://e.test/app!"]


def test_a_location_that_names_no_repository_is_an_error(tmp_path: Path) -> None:
    settings = read(tmp_path, {_CONF: table(prefix="a.test/app", location="b.test")})
    with pytest.raises(InvalidSettings, match=r"b.test is no repository, for a.test/app") as raised:
        asked(settings, "a.test/app:1")
    assert raised.value.path == f"{tmp_path}/{_CONF}"


@pytest.mark.parametrize(
    ("prefix", "location", "found"),
    [("a.test", "b.test:1", "b.test:1:5/app"), ("*.test", "b.test/c", "b.test/c:5/app")],
)
def test_a_port_is_part_of_what_a_location_stands_for(
    prefix: str, location: str, found: str, tmp_path: Path
) -> None:
    settings = read(tmp_path, {_CONF: table(prefix=prefix, location=location)})
    with pytest.raises(InvalidSettings, match=f"{found} is no repository, for a.test:5/app"):
        asked(settings, "a.test:5/app")


def test_what_is_blocked_is_refused_with_the_file_that_says_so(tmp_path: Path) -> None:
    blocked = table(prefix="a.test/bad", location="a.test/bad", blocked=True)
    settings = read(tmp_path, {_CONF: blocked + table(location="b.test", blocked=True)})
    by = re.escape(f"it is blocked by {tmp_path}/{_CONF}")
    for push in (False, True):
        with pytest.raises(RegistryError, match=by):
            settings.places(parse_reference("a.test/bad/app:1"), push=push)
    with pytest.raises(RegistryError, match=by):
        settings.registry("b.test")
    assert asked(settings, "a.test/badly") == ["https://a.test/badly"]
    assert settings.registry("a.test").host == "a.test"


def test_the_rules_of_containers_come_before_docker_s_settings(tmp_path: Path) -> None:
    daemon = {"registry-mirrors": ["https://d.test"], "insecure-registries": ["a.test", "b.test"]}
    conf = table(prefix="docker.io/library", location="docker.io/library", mirrors=["m.test/hub"])
    conf += table(location="docker.io/team", insecure=False)
    conf += table(location="a.test", insecure=False) + table(location="b.test")
    settings = read(tmp_path, {"etc/docker/daemon.json": json.dumps(daemon), _CONF: conf})
    hub = "https://registry-1.docker.io"
    assert asked(settings, "app") == ["https://m.test/hub/app*", f"{hub}/library/app"]
    assert asked(settings, "team/app") == ["https://d.test/team/app*", f"{hub}/team/app"]
    assert asked(settings, "other/app") == ["https://d.test/other/app*", f"{hub}/other/app"]
    assert asked(settings, "a.test/app") == ["https://a.test/app"]
    assert asked(settings, "b.test/app") == ["https+http://b.test/app!"]


SEARCH = 'unqualified-search-registries = ["s.test:5000", "docker.io"]\n'
ALIASES = '[aliases]\napp = "a.test/team/app"\n"team/app" = "docker.io/library/other"\n'
SHORT = {
    "app": "a.test/team/app",
    "app:1": "a.test/team/app:1",
    f"app:1@{_DIGEST}": f"a.test/team/app:1@{_DIGEST}",
    "team/app:1": "other:1",
    "new": "s.test:5000/new",
    "team/new:1": "s.test:5000/team/new:1",
    "docker.io/app": "app",
    "docker.io/team/app": "team/app",
    "localhost/app": "localhost/app",
    "b.test/app": "b.test/app",
}


@pytest.mark.parametrize("name", SHORT)
def test_short_names_mean_what_containers_are_told(name: str, tmp_path: Path) -> None:
    assert str(read(tmp_path, {_CONF: SEARCH + ALIASES}).meant(name)) == SHORT[name]


def test_short_names_are_docker_s_where_no_registry_is_searched(tmp_path: Path) -> None:
    for search in (
        "",
        "unqualified-search-registries = []\n",
        SEARCH.replace("s.test:5000", "docker.io"),
    ):
        settings = read(tmp_path, {_CONF: search})
        assert str(settings.meant("app:1")) == "app:1"
        assert str(settings.meant("team/app")) == "team/app"
    assert str(read(tmp_path, {_CONF: ALIASES}).meant("app")) == "app"


def test_later_files_say_what_counts_and_a_user_s_own_replace_the_machine_s(tmp_path: Path) -> None:
    def hosts(settings: RegistrySettings) -> list[str]:
        return [asked(settings, f"{name}.test/app")[-1] for name in "abc"]

    machine = {
        _CONF: SEARCH
        + ALIASES
        + "".join(table(prefix=f"{n}.test", location="main.test") for n in "abc"),
        f"{_DROP_INS}/10.conf": table(prefix="b.test", location="ten.test"),
        f"{_DROP_INS}/09.conf": table(prefix="b.test", location="nine.test")
        + table(prefix="c.test", location="nine.test"),
        f"{_DROP_INS}/11.conf": 'unqualified-search-registries = ["t.test"]\n[aliases]\napp = ""\n',
        f"{_DROP_INS}/12.conf.off": "broken",
        f"{_DROP_INS}/13.conf/dir": "broken",
    }
    settings = read(tmp_path, machine)
    assert hosts(settings) == [f"https://{n}.test/app" for n in ("main", "ten", "nine")]
    assert str(settings.meant("app")) == "t.test/app"
    own = "home/.config/containers/registries.conf.d/1.conf"
    settings = read(tmp_path, {own: table(prefix="c.test", location="own.test")})
    assert hosts(settings) == [f"https://{n}.test/app" for n in ("main", "ten", "own")]
    settings = read(tmp_path, {_OWN: table(prefix="a.test", location="home.test")})
    assert hosts(settings) == [f"https://{n}.test/app" for n in ("home", "b", "own")]
    assert str(settings.meant("app")) == "app"
    chosen = {"CONTAINERS_REGISTRIES_CONF": "{}/chosen.conf"}
    settings = read(tmp_path, {"chosen.conf": ""}, **chosen)
    assert hosts(settings) == [f"https://{n}.test/app" for n in ("a", "ten", "own")]
    settings = read(tmp_path, {"xdg/containers/registries.conf": ""}, XDG_CONFIG_HOME="{}/xdg")
    assert hosts(settings) == [f"https://{n}.test/app" for n in "abc"]
    with pytest.raises(InvalidSettings, match="there is no such file"):
        read(tmp_path, {}, CONTAINERS_REGISTRIES_CONF="{}/none.conf")


BAD = {
    "no TOML": ("[[registry]\n", r"it is no TOML: .*line 1"),
    "no UTF-8": ('a = "\udcff"', "it is no TOML: byte 5 is no UTF-8"),
    "deep": ("a = " + "[" * 100_000, "it is no TOML: it is nested too deeply"),
    "version 1": ("[registries.search]\nregistries = []", "version 1 of the format"),
    "no place": ("[[registry]]\ninsecure = true", r"registry\[0\] has neither prefix nor location"),
    "no boolean": (table(location="a.test", insecure="no"), r"at `registry\[0\].insecure`"),
    "scheme": (table(location="https://a.test"), r"registry\[0\].prefix is no host"),
    "no host": (table(location="a b"), r"registry\[0\].prefix doesn't begin with a host"),
    "odd path": (
        table(prefix="a.test", location="b.test/../c"),
        r"registry\[0\].location has a path",
    ),
    "tag": (table(prefix="a.test/b:1", location="b.test/b:2"), r"registry\[0\].location has a tag"),
    "twice": (
        table(location="a.test") + table(location="a.test", blocked=True),
        r"registry\[1\] says otherwise of a.test",
    ),
    "star": (table(prefix="a.*.test", location="b.test"), r"registry\[0\].prefix "),
    "star path": (table(prefix="*.test/a", location="b.test"), r"registry\[0\].prefix has a \*"),
    "star place": (table(prefix="*.test", location="*.a"), r"registry\[0\].location .* has a \*"),
    "mirror": (
        table(location="a.test", mirrors=["http://b"]),
        r"registry\[0\].mirror\[0\].location",
    ),
    "no mirror": (table(location="a.test", mirrors=[{}]), r"missing required field `location`"),
    "when": (
        table(location="a.test", mirrors=[{"location": "b", "pull_from_mirror": "x"}]),
        r"registry\[0\].mirror\[0\].pull-from-mirror",
    ),
    "when twice": (
        table(
            location="a.test",
            mirror_by_digest_only=True,
            mirrors=[{"location": "b", "pull_from_mirror": "all"}],
        ),
        r"registry\[0\].mirror\[0\].pull-from-mirror is said where",
    ),
    "search": ('unqualified-search-registries = ["a/b"]', r"unqualified-search-registries\[0\]"),
    "alias": ('[aliases]\n"a.test/b" = "c.test/d"', r"aliases.a.test/b is no short name"),
    "alias tag": ('[aliases]\n"a:1" = "c.test/d"', r"aliases.a:1 is no short name"),
    "alias name": ('[aliases]\na = "b"', r"aliases.a is no full name"),
    "alias path": ('[aliases]\na = "b.test/UP"', r"aliases.a: invalid name"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_named_with_the_line_or_the_field(what: str, tmp_path: Path) -> None:
    text, reason = BAD[what]
    path = tmp_path / _DROP_INS / "1.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidSettings, match=reason) as raised:
        read(tmp_path, {})
    assert raised.value.path == str(path)
