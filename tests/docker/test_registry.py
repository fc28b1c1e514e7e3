"""dockerd and layerstore share images by a registry: same IDs, same layers, none sent twice."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.command import main
from tests.docker.api import Docker
from tests.docker.content import base_tar, xattr_tar
from tests.docker.root import DockerRoot, control_groups, need_dockerd
from tests.images.registry.pulls.pulling import client, nothing_half_made, pull
from tests.images.samples import files_of
from tests.support.archives import digest_of
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.images import put_layers
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar

pytestmark = [pytest.mark.root, pytest.mark.timeout(300), NEEDED]


TOLD = [layer_tar({"a": b"1"}), layer_tar({"b": b"2"})]
_PASSING = ("Downloading", "Verifying Checksum", "Download complete", "Extracting")


@dataclass(frozen=True)
class Shared:
    """What was done, and what dockerd says of it."""

    root: DockerRoot
    """dockerd's, with both images."""
    ours: Path
    """A root of a store, with both images."""
    theirs: str
    """The name of the image that dockerd made and pushed."""
    changed: str
    """That of the one which layerstore made of it and pushed, and dockerd pulled."""
    ids: dict[str, str]
    """By name, as dockerd has them."""
    layers: dict[str, bytes]
    """The layers of both in `docker save`."""
    said: list[list[str]]
    """What dockerd said as it pulled `told`, twice."""


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, base_directory: Path, registry: Registry
) -> Iterator[Shared]:
    place = Path(tempfile.mkdtemp(prefix="docker-", dir=base_directory))
    try:
        need_dockerd(request, base_directory)
        root = DockerRoot(place, "overlay2")
        theirs, changed = registry.name("docker/theirs:1"), registry.name("docker/changed:1")
        with control_groups(), root.docker() as docker:
            _make(docker, theirs)
            with LayerStore(place / "ours", durability="relaxed") as store:
                _change(store, theirs, changed)
            docker.daemon.pull(changed)
            ids = {name: docker.inspect_image(name)["Id"] for name in (theirs, changed)}
            layers = docker.saved_layers(theirs, changed)
            told = put_layers(registry, TOLD, "docker/told:1", place / "layout")
            said = [_said(docker.daemon.pull(told)) for _ in range(2)]
        yield Shared(root, place / "ours", theirs, changed, ids, layers, said)
    finally:
        shutil.rmtree(place)


def _make(docker: Docker, name: str) -> None:
    docker.import_tar(base_tar(), "base:1")
    container = docker.create("one", "base:1", "true")
    docker.copy_in(container, xattr_tar())
    docker.commit(container, "made:1")
    docker.tag("made:1", name)
    docker.daemon.push(name)


def _change(store: LayerStore, theirs: str, changed: str) -> None:
    pull(store, theirs)
    with store.images.create("change", theirs) as rw:
        with rw.mounted() as path:
            Path(path, "added").write_bytes(b"ours")
        store.images.commit(rw, changed)
    with client() as asked:
        store.images.push(changed, client=asked)


def _said(told: bytes) -> list[str]:
    """Return what the docker command prints of what dockerd tells, but for what passes by."""
    lines = [json.loads(line) for line in told.splitlines()]
    words = [": ".join(filter(None, (line.get("id"), line["status"]))) for line in lines]
    return sorted(line for line in words if not line.endswith(_PASSING))


def test_a_pull_says_what_docker_says(
    shared: Shared, registry: Registry, root_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = registry.name("docker/told:1")
    for said in shared.said:
        assert main(["--root", str(root_dir), "pull", name]) == 0
        lines = capfd.readouterr().out.splitlines()
        # Of an image that is there already docker names no layers.
        lines = [line for line in lines if not line.endswith(": Already exists")]
        assert sorted(lines) == sorted([*said, name])


def test_images_and_layers_are_the_same_on_both_sides(shared: Shared) -> None:
    with LayerStore(shared.ours, durability="relaxed") as store:
        assert {name: store.images.get(name).id for name in shared.ids} == shared.ids
        for chain, metadata in store.map().items():
            layer = store.get(chain)
            with layer.tar_stream() as tar:
                assert tar.read() == shared.layers[metadata.diff_id]
            layer.release()
        assert len(store.map()) == len(shared.layers) == 3
        assert files_of(store, shared.changed)["added"] == b"ours"
        nothing_half_made(store)
    assert all(digest_of(tar) == diff_id for diff_id, tar in shared.layers.items())


def test_layers_that_dockerd_pulled_are_not_pulled_again_into_its_root(
    shared: Shared, registry: Registry, root_dir: Path
) -> None:
    with Proxy(registry=registry) as proxy, shared.root.copy_to(root_dir).store() as store:
        image = pull(store, proxy.name(shared.changed.partition("/")[2]))
        assert image.id == shared.ids[shared.changed]
        assert set(proxy.fetched()) <= {image.id}


def test_a_root_that_layerstore_pulled_into_is_dockerds(
    shared: Shared, registry: Registry, root_dir: Path
) -> None:
    root = DockerRoot(root_dir, "overlay2")
    shutil.copytree(shared.ours, root.data, symlinks=True)
    with control_groups(), root.docker() as docker, Proxy(registry=registry) as proxy:
        assert {name: docker.inspect_image(name)["Id"] for name in shared.ids} == shared.ids
        rest = shared.changed.partition("/")[2]
        docker.daemon.pull(proxy.name(rest))
        assert set(proxy.fetched()) <= {shared.ids[shared.changed]}
        before = len(proxy.requests)
        docker.daemon.push(proxy.name(rest))
        methods = {request.method for request in proxy.requests[before:]}
        assert methods == {"GET", "HEAD", "PUT"}, "a manifest is put; its layers are there"
