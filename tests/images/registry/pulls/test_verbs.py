"""What is typed for images of registries: pull, tags, inspect --remote, and run and create."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import ImageStore, LayerStore
from layerstore.command import main
from tests.command.terminal import drawn
from tests.images.registry.pulls.pulling import Sample, put_sample
from tests.support.busybox import rootfs_tar
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.images import LAYER, put_image, put_index
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar

pytestmark = NEEDED

Type = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def typed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Type:
    """A function that runs the command where nobody has settings: status, lines, errors."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*words: str) -> tuple[int, list[str], str]:
        status = main(["--root", str(tmp_path / "root"), *words])
        out, errors = capfd.readouterr()
        return status, out.splitlines(), errors

    return run


@pytest.fixture(scope="module")
def sample(registry: Registry) -> Sample:
    put_sample(registry, "typed/app:2", [layer_tar({"other": b"2"})])
    return put_sample(registry, "typed/app:1")


def test_a_pulled_image_is_listed_with_its_digest(
    typed: Type, registry: Registry, sample: Sample
) -> None:
    name = registry.name(sample.rest)
    assert typed("pull", "--quiet", f"docker://{name}") == (0, [name], "")
    (facts,) = json.loads("\n".join(typed("inspect", name)[1]))
    assert facts["Id"] == sample.config
    assert facts["RepoTags"] == [name]
    assert facts["RepoDigests"] == [f"{name.removesuffix(':1')}@{sample.manifest}"]
    assert typed("pull", "-q", f"{name.removesuffix(':1')}@{sample.manifest}")[0] == 0


def test_whether_a_name_means_another_image_now_is_told_as_docker_tells_it(
    typed: Type, registry: Registry, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listing(_: object) -> None:
        pytest.fail("all there are have been listed")

    for face, method in ((LayerStore, "map"), (LayerStore, "mounts"), (ImageStore, "list")):
        monkeypatch.setattr(face, method, listing)
    put_sample(registry, "typed/same:1")
    name, same = registry.name(sample.rest), registry.name("typed/same:1")
    by_digest = f"{name.removesuffix(':1')}@{sample.manifest}"
    for asked, status in (
        (name, "Downloaded newer image"),
        (name, "Image is up to date"),
        (by_digest, "Image is up to date"),
        (same, "Downloaded newer image"),
    ):
        assert f"Status: {status} for {asked}" in typed("pull", asked)[1]


def test_all_tags_are_listed_and_pulled(typed: Type, registry: Registry, sample: Sample) -> None:
    repository = registry.name("typed/app")
    status, tags, _ = typed("tags", repository)
    assert (status, sorted(tags)) == (0, ["1", "2"])
    assert typed("pull", "--all-tags", "-q", repository)[0] == 0
    _, lines, _ = typed("images", "--format", "{{.Tag}}", repository)
    assert sorted(lines) == ["1", "2"]


def test_what_is_elsewhere_is_told_without_being_fetched(
    typed: Type, proxy: Proxy, sample: Sample
) -> None:
    status, lines, _ = typed("inspect", "--remote", proxy.name(sample.rest))
    (facts,) = json.loads("\n".join(lines))
    assert (status, facts["Id"]) == (0, sample.config)
    assert proxy.fetched() == [sample.config]
    assert typed("images", "-q")[1] == []


def test_a_platform_is_chosen_that_is_typed(typed: Type, registry: Registry) -> None:
    images = []
    for architecture in ("amd64", "arm64"):
        layer = layer_tar({architecture: b""})
        blobs = [(layer, LAYER)]
        described = put_image(
            registry, "typed/many", architecture, blobs, [layer], architecture=architecture
        )
        images.append((described, {"os": "linux", "architecture": architecture}))
    put_index(registry, "typed/many", "1", images)
    name = registry.name("typed/many:1")
    for architecture in ("arm64", "amd64"):
        assert typed("pull", "-q", "--platform", f"linux/{architecture}", name)[0] == 0
        assert typed("inspect", "--format", "{{.Architecture}}", name)[1] == [architecture]
    words = ("create", "-q", "--platform", "linux/arm64", "made", "--image", name)
    assert typed(*words, "--pull", "never")[0] == 1
    assert typed(*words)[0] == 0
    assert typed("inspect", "--format", "{{.Architecture}}", name)[1] == ["arm64"]


ERRORS = [
    (["pull", "{host}/typed/app:3"], "404"),
    (["pull", "{host}/typed/none"], "404"),
    (["tags", "{host}/typed/none"], "404"),
    (["tags", "{host}/typed/app:1"], "tag"),
    (["pull", "{host}/Typed"], "Typed"),
    (["pull", "-a", "{host}/typed/app:1"], "--all-tags"),
    (["inspect", "--remote", "{host}/typed/app:3"], "404"),
]


@pytest.mark.parametrize(("words", "reason"), ERRORS)
def test_what_is_not_there_is_told_in_a_line(
    words: list[str], reason: str, typed: Type, registry: Registry, sample: Sample
) -> None:
    status, _, errors = typed(*(word.format(host=registry.host) for word in words))
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith("layerstore: ")
    assert reason in errors


@pytest.mark.root
@pytest.mark.needs("/bin/busybox")
def test_run_and_create_pull_as_they_are_told(typed: Type, proxy: Proxy) -> None:
    layer = rootfs_tar()
    put_image(proxy.registry, "typed/busy", "1", [(layer, LAYER)], [layer])
    name = proxy.name("typed/busy:1")
    status, _, errors = typed("run", "--pull", "never", name, "true")
    assert (status, proxy.requests) == (125, []), errors
    status, lines, errors = typed("run", name, "cat", "/etc/os-release")
    assert (status, lines) == (0, ["NAME=app"]), errors
    assert f"Unable to find image '{name}' locally" in errors
    del proxy.requests[:]
    assert typed("run", name, "true") == (0, [], "")
    assert typed("create", "one", "--image", name)[0] == 0
    assert proxy.requests == []
    assert typed("create", "two", "--pull", "always", "-q", "--image", name)[0] == 0
    assert proxy.asked("/manifests/1")
    assert typed("run", "--pull", "missing", "-q", proxy.name("typed/none:1"), "true")[0] == 125


def test_on_a_terminal_each_layer_has_a_bar_with_docker_s_words(
    registry: Registry, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    program = "import sys, layerstore_command; sys.exit(layerstore_command.main())"
    pull = [sys.executable, "-c", program, "--root", f"{tmp_path}/root", "pull"]
    out, shown = drawn([*pull, registry.name(sample.rest)])
    assert b"Pull complete" not in out
    for digest in sample.layers:
        assert f"{digest.partition(':')[2][:12]}: Pull complete".encode() in shown
    _, shown = drawn([*pull, registry.name(sample.rest)])
    assert shown.count(b": Already exists") >= len(sample.layers)
    assert b"Pull complete" not in shown
