"""`push` says what docker says, and takes what docker takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from layerstore.command import main
from tests.images.registry.pushes.pushing import fresh, read_back
from tests.images.samples import LAYERS
from tests.support.archives import NAME, as_tar, config_of, digest_of, docker_archive
from tests.support.registries.daemon import NEEDED, Registry

pytestmark = [NEEDED, pytest.mark.needs("zstd")]
Typed = tuple[int, list[str], str]


class Shell:
    """A store with an image of two layers, and nobody's settings."""

    def __init__(self, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._root = str(place / "store")
        self._capfd = capfd
        archive = place / "image.tar"
        archive.write_bytes(as_tar(docker_archive(LAYERS)))
        self.type("load", str(archive))

    def type(self, *words: str) -> Typed:
        """Return status, lines of output, and errors."""
        status = main(["--root", self._root, "--driver", "vfs", *words])
        out, err = self._capfd.readouterr()
        return status, out.splitlines(), err


@pytest.fixture
def shell(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Shell(tmp_path, capfd)


SHORT = [digest_of(layer)[7:19] for layer in LAYERS]


def test_it_tells_of_each_layer_and_of_the_digest(
    shell: Shell, registry: Registry, tmp_path: Path
) -> None:
    repository = fresh()
    name = registry.name(repository)
    assert shell.type("tag", NAME, f"{name}:1")[0] == 0
    for done in (["Pushing", "Pushed"], ["Layer already exists"]):
        status, lines, errors = shell.type("push", f"{name}:1")
        there = read_back(registry, f"{repository}:1", tmp_path / done[0])
        assert (status, errors) == (0, "")
        assert lines[0] == f"The push refers to repository [{name}]"
        told = [f"{layer}: {word}" for layer in SHORT for word in done]
        assert sorted(lines[1:-1]) == sorted(told)
        assert lines[-1] == f"1: digest: {there.digest} size: {there.size}"
    assert there.config == digest_of(config_of(LAYERS))
    _, lines, _ = shell.type("images", "--digests", name)
    assert there.digest in lines[1]


def test_quiet_is_the_name_alone(shell: Shell, registry: Registry) -> None:
    name = registry.name(fresh())
    assert shell.type("push", "-q", NAME, name) == (0, [f"{name}:latest"], "")


def test_all_tags_and_options(shell: Shell, registry: Registry, tmp_path: Path) -> None:
    repository = fresh()
    name = registry.name(repository)
    for tag in ("1", "2"):
        shell.type("tag", NAME, f"{name}:{tag}")
    words = ["--all-tags", "--compression", "zstd", "--compression-level", "1", "--parallel", "1"]
    status, lines, _ = shell.type("push", *words, f"docker://{name}")
    assert (status, [line[:9] for line in lines[-2:]]) == (0, ["1: digest", "2: digest"])
    there = read_back(registry, f"{repository}:2", tmp_path / "there")
    assert there.types[2].endswith("+zstd")


def test_who_pushes_can_be_said(shell: Shell, password_registry: Registry) -> None:
    name = password_registry.name(fresh())
    user, secret = password_registry.login or ("", "")
    shell.type("tag", NAME, f"{name}:1")
    status, _, errors = shell.type("push", f"{name}:1")
    assert (status, "log in" in errors) == (1, True), errors
    assert shell.type("push", "-q", "--creds", f"{user}:{secret}", f"{name}:1")[0] == 0


def test_a_name_for_several(shell: Shell, registry: Registry) -> None:
    name = registry.name(fresh())
    shell.type("push", "-q", NAME, f"{name}:one")
    status, lines, _ = shell.type("index", f"{name}:all", f"docker://{name}:one")
    assert (status, lines[0][:19]) == (0, "all: digest: sha256")
    assert shell.type("inspect", "--remote", f"{name}:all")[0] == 0


def test_what_is_not_there_is_an_error(shell: Shell, registry: Registry) -> None:
    status, _, errors = shell.type("push", registry.name("nothing"))
    assert status == 1
    assert re.search("nothing", errors)
