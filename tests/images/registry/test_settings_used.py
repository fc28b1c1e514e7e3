"""Settings lead to real registries, and skopeo, which has the same ones, to the same images."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.command import main
from tests.support.registries.certificates import Authority
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.http import Server
from tests.support.registries.images import put_layers
from tests.support.tars import layer_tar

pytestmark = NEEDED
Found = Callable[[str], bool]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of somebody who has no settings yet, for this process and others."""
    for name in ("CONTAINERS_REGISTRIES_CONF", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    (tmp_path / "home/.config/containers").mkdir(parents=True)
    return tmp_path / "home/.config/containers"


@pytest.fixture
def found(home: Path, capfd: pytest.CaptureFixture[str]) -> Found:
    """A function that tells whether an image is found, which is the same to skopeo."""

    def finding(name: str) -> bool:
        status = main(["inspect", "--remote", "-f", "{{.Digest}}", name])
        ours = capfd.readouterr().out
        words = ["skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{name}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (status == 0), done.stderr
        assert done.stdout == ours
        return status == 0

    return finding


def test_a_name_is_found_at_another_location_and_at_a_mirror(
    registry: Registry, home: Path, tmp_path: Path, found: Found
) -> None:
    put_layers(registry, [layer_tar({})], "settings/at/app:1", tmp_path / "image")
    (home / "registries.conf").write_text(f"""
    [[registry]]
    prefix = "example.org/team"
    location = "{registry.host}/settings/at"
    insecure = true
    [[registry]]
    prefix = "docker.io/library"
    location = "docker.io/library"
    [[registry.mirror]]
    location = "{registry.host}/settings/at"
    insecure = true
    [[registry]]
    prefix = "*.test"
    location = "{registry.host}/settings"
    insecure = true
    """)
    assert found("example.org/team/app:1")
    assert not found("example.org/team/app:2")
    assert found("a.b.test/at/app:1")
    assert found("docker.io/app:1")


def test_a_registry_is_trusted_by_its_directory_of_certificates(
    tls_registry: Registry, home: Path, tmp_path: Path, found: Found
) -> None:
    put_layers(tls_registry, [layer_tar({})], "settings/app:1", tmp_path / "image")
    place = home / f"certs.d/{tls_registry.host}"
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes((tls_registry.authority or place).read_bytes())
    assert found(tls_registry.name("settings/app:1"))
    (place / "ca.crt").write_bytes(Authority(tmp_path).certificate.read_bytes())
    assert not found(tls_registry.name("settings/app:1"))


def test_who_asks_by_an_option_asks_the_registry_and_not_its_mirror(
    registry: Registry, plain_password_registry: Registry, home: Path, tmp_path: Path
) -> None:
    name = plain_password_registry.name("settings/asked:1")
    put_layers(plain_password_registry, [layer_tar({})], "settings/asked:1", tmp_path / "image")
    (home / "registries.conf").write_text(f"""
    [[registry]]
    location = "{plain_password_registry.host}"
    [[registry.mirror]]
    location = "{registry.host}"
    """)
    login = ":".join(plain_password_registry.login or ())
    assert main(["inspect", "--remote", "--creds", login, name]) == 0
    assert main(["inspect", "--remote", "--creds", f"{login}x", name]) == 1
    assert main(["inspect", "--remote", name]) == 1


def test_who_asks_by_an_option_is_shown_to_one_registry_alone(
    plain_password_registry: Registry,
    home: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (home / "registries.conf").write_text("")
    name = plain_password_registry.name("settings/alone:1")
    put_layers(plain_password_registry, [layer_tar({})], "settings/alone:1", tmp_path / "image")
    creds = ("--creds", ":".join(plain_password_registry.login or ()))
    with Server() as elsewhere:
        assert main(["inspect", "--remote", *creds, name, f"{elsewhere.host}/app:1"]) == 1
        errors = capfd.readouterr().err
        assert f"{elsewhere.host}" in errors
        assert "ask each of them by itself" in errors
        assert elsewhere.requests == []
    assert main(["inspect", "--remote", *creds, "-f", "{{.Name}}", name, name, "A b"]) == 1
    out, errors = capfd.readouterr()
    assert out.splitlines() == [name, name]
    assert "'A b'" in errors
