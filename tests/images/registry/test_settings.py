"""What a name means and where it is asked for, by the files that docker and containers have."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import pytest

from layerstore.drivers.errors import DriverError, InvalidSettings
from layerstore.drivers.model.reference import parse_reference
from layerstore.images.registry.places import Place
from layerstore.images.registry.settings import RegistrySettings, registry_name
from tests.images.registry.machine import asked, read

_DAEMON = "etc/docker/daemon.json"

BY_DOCKER = {
    "app": "https://registry-1.docker.io/library/app",
    "team/app:1": "https://registry-1.docker.io/team/app",
    "docker.io/app": "https://registry-1.docker.io/library/app",
    "registry-1.docker.io/a/app": "https://registry-1.docker.io/a/app",
    "index.docker.io/library/app": "https://registry-1.docker.io/library/app",
    "example.org/app": "https://example.org/app",
    "example.org:443/a/b/c:2": "https://example.org:443/a/b/c",
    "localhost/app": "https+http://localhost/app!",
    "localhost:5000/app": "https+http://localhost:5000/app!",
    "127.0.0.1:5000/app": "https+http://127.0.0.1:5000/app!",
    "127.9.9.9/app": "https+http://127.9.9.9/app!",
    "[::1]:5000/app": "https+http://[::1]:5000/app!",
    "128.0.0.1:5000/app": "https://128.0.0.1:5000/app",
    "localhost.test/app": "https://localhost.test/app",
}


@pytest.mark.parametrize("name", BY_DOCKER)
def test_without_files_a_name_is_where_docker_looks_for_it(name: str, tmp_path: Path) -> None:
    assert asked(RegistrySettings(), name) == [BY_DOCKER[name]]
    assert asked(read(tmp_path, {}), name) == [BY_DOCKER[name]]


def test_docker_s_own_registry_is_known_by_one_name_to_who_asks_there() -> None:
    names = ("app", "docker.io/team/app", "registry-1.docker.io/team/app")
    places = [only(RegistrySettings(), name) for name in names]
    assert {(place.registry, place.host) for place in places} == {
        ("docker.io", "registry-1.docker.io")
    }


def test_the_files_of_the_machine_itself_are_read() -> None:
    assert RegistrySettings.read().meant("localhost:5000/app").repository == "localhost:5000/app"


def test_dockers_mirrors_are_of_its_own_registry_and_its_insecure_ones_of_all(
    tmp_path: Path,
) -> None:
    daemon = {
        "registry-mirrors": ["https://one.test", "http://two.test:5000/"],
        "insecure-registries": ["one.test", "three.test:80", "http://four.test"],
        "storage-driver": "overlay2",
    }
    settings = read(tmp_path, {_DAEMON: json.dumps(daemon)})
    assert asked(settings, "app") == [
        "https://one.test/library/app!*",
        "http://two.test:5000/library/app*",
        "https://registry-1.docker.io/library/app",
    ]
    for name, place in {
        "three.test:80/app": "https+http://three.test:80/app!",
        "three.test:81/app": "https://three.test:81/app",
        "four.test/app": "https+http://four.test/app!",
        "four.test:443/app": "https://four.test:443/app",
        "four.test.org/app": "https://four.test.org/app",
    }.items():
        assert asked(settings, name) == [place]


def test_a_user_s_own_daemon_s_settings_replace_the_machine_s(tmp_path: Path) -> None:
    own = json.dumps({"registry-mirrors": ["https://own.test"], "insecure-registries": None})
    for_all = json.dumps({"insecure-registries": ["a.test"]})
    settings = read(tmp_path, {"home/.config/docker/daemon.json": own, _DAEMON: for_all})
    assert asked(settings, "app")[0] == "https://own.test/library/app*"
    assert asked(settings, "a.test/app") == ["https://a.test/app"]


def test_a_host_is_in_a_network_by_its_address(tmp_path: Path) -> None:
    networks = ["10.1.0.0/16", "fd00::/8", "127.0.0.0/8"]
    settings = read(tmp_path, {_DAEMON: json.dumps({"insecure-registries": networks})})
    for name, is_insecure in {
        "10.1.2.3:5000/app": True,
        "10.2.0.1:5000/app": False,
        "[fd00::1]:5000/app": True,
        "[fe00::1]/app": False,
        "LOCALHOST:5000/app": True,  # no name of loopback's to us, but to who looks it up
    }.items():
        (place,) = settings.places(parse_reference(name))
        assert place.verify is not is_insecure, name


def test_what_is_pushed_goes_to_no_mirror(tmp_path: Path) -> None:
    settings = read(tmp_path, {_DAEMON: json.dumps({"registry-mirrors": ["https://one.test"]})})
    assert asked(settings, "app", push=True) == ["https://registry-1.docker.io/library/app"]


BAD = {
    "no JSON": (_DAEMON, '{\n  "a": 1,,\n}', r"it is no JSON: .* \(at line 2, column 10\)"),
    "no object": (_DAEMON, "[]", "Expected `object`"),
    "no list": (_DAEMON, '{"registry-mirrors": "https://a"}', r"at `registry-mirrors`"),
    "no string": (_DAEMON, '{"insecure-registries": ["a", 1]}', r"at `insecure-registries\[1\]`"),
    "no URL": (_DAEMON, '{"registry-mirrors": ["a.test"]}', r"registry-mirrors\[0\] is no http"),
    "user": (_DAEMON, '{"registry-mirrors": ["https://u:p@a.test"]}', "registry-mirrors"),
    "path": (_DAEMON, '{"registry-mirrors": ["https://a.test/b"]}', "registry-mirrors"),
    "bad port": (_DAEMON, '{"registry-mirrors": ["https://[::1"]}', "registry-mirrors"),
    "no host": (_DAEMON, '{"insecure-registries": ["a b"]}', "insecure-registries"),
    "no network": (_DAEMON, '{"insecure-registries": ["10.0.0.0/99"]}', "insecure-registries"),
    "deep": (_DAEMON, "[" * 100_000, "it is nested too deeply"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_named_with_the_line_or_the_field(what: str, tmp_path: Path) -> None:
    path, text, reason = BAD[what]
    with pytest.raises(InvalidSettings, match=reason) as raised:
        read(tmp_path, {path: text})
    assert raised.value.path.endswith(path)
    assert "u:p" not in str(raised.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / _DAEMON).mkdir(parents=True)
    with pytest.raises(DriverError, match=re.escape(f"{tmp_path}/{_DAEMON}")):
        read(tmp_path, {})


def certificates(place: Path, *names: str) -> Path:
    """A directory with empty files."""
    place.mkdir(parents=True)
    for name in names:
        (place / name).touch()
    return place


def only(settings: RegistrySettings, name: str) -> Place:
    (place,) = settings.places(parse_reference(name))
    return place


def test_certificates_lie_in_directories_named_after_hosts(tmp_path: Path) -> None:
    dockers = certificates(
        tmp_path / "etc/docker/certs.d/a.test:5000", "b.crt", "a.crt", "me.cert", "me.key", "x"
    )
    certificates(tmp_path / "etc/docker/certs.d/b.test", "ca.crt")
    own = certificates(tmp_path / "home/.config/containers/certs.d/b.test", "ca.crt")
    hub = certificates(tmp_path / "etc/containers/certs.d/docker.io", "ca.crt")
    settings = read(tmp_path, {})
    place = only(settings, "a.test:5000/app")
    assert place.ca_files == (f"{dockers}/a.crt", f"{dockers}/b.crt")
    assert place.client_certificate == (f"{dockers}/me.cert", f"{dockers}/me.key")
    assert only(settings, "a.test/app").ca_files == ()
    assert only(settings, "b.test/app").ca_files == (f"{own}/ca.crt",)
    assert only(settings, "app").ca_files == (f"{hub}/ca.crt",)


def test_this_machine_is_verified_where_there_is_an_authority_for_it(
    tmp_path: Path,
) -> None:
    certificates(tmp_path / "etc/docker/certs.d/localhost:5000", "ca.crt")
    assert asked(read(tmp_path, {}), "localhost:5000/app") == ["https://localhost:5000/app"]
    assert asked(RegistrySettings(ca_files=("ca.pem",)), "[::1]/app") == ["https://[::1]/app"]


@pytest.mark.parametrize(("alone", "other"), [("me.cert", "me.key"), ("me.key", "me.cert")])
def test_a_certificate_without_its_key_is_an_error(alone: str, other: str, tmp_path: Path) -> None:
    place = certificates(tmp_path / "etc/docker/certs.d/a.test", "ca.crt", alone)
    with pytest.raises(InvalidSettings, match=f"there is no {other}") as raised:
        only(read(tmp_path, {}), "a.test/app")
    assert raised.value.path == f"{place}/{alone}"


def test_options_come_before_files(tmp_path: Path) -> None:
    own = certificates(tmp_path / "own", "ca.crt")
    settings = RegistrySettings(
        insecure=("a.test",), certificate_directory=f"{own}", ca_files=("b.crt",)
    )
    assert only(settings, "a.test/app").ca_files == ("b.crt", f"{own}/ca.crt")
    assert not only(settings, "a.test/app").verify
    assert asked(RegistrySettings(verify=True), "localhost/app") == ["https://localhost/app"]
    assert asked(RegistrySettings(verify=False), "a.test/app") == ["https+http://a.test/app!"]
    mirrors = RegistrySettings(docker_mirrors=("http://a.test", "https://b.test"), verify=True)
    assert asked(mirrors, "app")[:-1] == ["https://b.test/library/app*"]
    with pytest.raises(InvalidSettings, match="no such directory"):
        only(RegistrySettings(certificate_directory=f"{tmp_path}/none"), "a.test/app")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("http://localhost:5000", "localhost:5000"),
        ("registry-1.docker.io", "docker.io"),
        ("a.test:1", "a.test:1"),
    ],
)
def test_a_registry_has_one_name(given: str, name: str) -> None:
    assert registry_name(given) == name
    assert RegistrySettings().registry(given).registry == name


@pytest.mark.root
@pytest.mark.parametrize("kept", ["docker", "docker/daemon.json", "docker/certs.d/a.test:5000"])
def test_what_the_machine_keeps_from_a_user_says_nothing(kept: str) -> None:
    # Nobody gets at what pytest makes.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as etc:
        Path(etc).chmod(0o755)
        Path(etc, "docker/certs.d/a.test:5000").mkdir(parents=True)
        Path(etc, "docker/daemon.json").write_text('{"insecure-registries": ["a.test:5000"]}')
        Path(etc, kept).chmod(0o600)
        os.seteuid(65534)
        try:
            settings = RegistrySettings.read(etc=etc, home="/nowhere", environment={})
            found = asked(settings, "a.test:5000/app")
        finally:
            os.seteuid(0)
    is_told = kept == "docker/certs.d/a.test:5000"
    assert found == ["https+http://a.test:5000/app!" if is_told else "https://a.test:5000/app"]


@pytest.mark.root
def test_what_a_user_can_t_read_of_containers_settings_is_an_error() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as etc:
        Path(etc).chmod(0o755)
        Path(etc, "containers").mkdir(mode=0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(DriverError, match=r"containers/registries\.conf.*denied"):
                RegistrySettings.read(etc=etc, home="/nowhere", environment={})
        finally:
            os.seteuid(0)
