"""dockerd and umoci have what was pushed; what is recorded of it is dockerd's and ours alike."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.conftest import OpenStore
from tests.docker.api import Docker
from tests.docker.other_engines import Umoci, run
from tests.docker.root import DockerRoot, need_dockerd
from tests.images.registry.pushes.pushing import client_of, fresh, push, read_back
from tests.images.samples import docker, load
from tests.support.archives import digest_of
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.images import get, put
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar

pytestmark = NEEDED

FILES = {"etc/name": b"top", "bin/sh": b"#!"}
"""What is in the image that is pushed."""


@pytest.mark.needs("umoci")
@pytest.mark.root
def test_umoci_unpacks_what_was_pushed(
    store: LayerStore, registry: Registry, tmp_path: Path
) -> None:
    name = fresh()
    push(store, registry, load(store, docker()), registry.name(name))
    get(registry, name, f"oci:{tmp_path / 'layout'}:1")
    bundle = tmp_path / "bundle"
    subprocess.run(
        ["umoci", "unpack", "--image", tmp_path / "layout:1", bundle],
        capture_output=True,
        check=True,
    )
    files = [path for path in (bundle / "rootfs").rglob("*") if path.is_file()]
    found = {str(path.relative_to(bundle / "rootfs")): path.read_bytes() for path in files}
    assert found == FILES


@pytest.mark.needs("umoci")
@pytest.mark.root
def test_what_umoci_made_goes_there_and_back(
    open_store: OpenStore, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "umoci").mkdir()
    theirs = Umoci(tmp_path / "umoci", [layer_tar({"base": b"1", "gone": b"2"})])
    (theirs.tree / "gone").unlink()
    (theirs.tree / "made").write_bytes(b"3")
    diff_ids = theirs.repack()
    name = put(registry, f"oci:{theirs.layout}:latest", fresh())
    with client_of(registry) as client:
        store = open_store(tmp_path / "root")
        pulled = store.images.pull(name, client=client)
        again = fresh()
        store.images.push(pulled.id, registry.name(again), client=client)
    there = read_back(registry, again, tmp_path / "back")
    assert (there.config, list(map(digest_of, there.layers))) == (pulled.id, diff_ids)
    get(registry, again, f"oci:{tmp_path / 'layout'}:1")
    run("umoci", "unpack", "--image", f"{tmp_path / 'layout'}:1", tmp_path / "bundle")
    found = {path.name: path.read_bytes() for path in (tmp_path / "bundle/rootfs").iterdir()}
    assert found == {"base": b"1", "made": b"3"}


@pytest.fixture
def root(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[DockerRoot]:
    need_dockerd(request, base_directory)
    with tempfile.TemporaryDirectory(dir=base_directory) as place:
        yield DockerRoot(Path(place), "vfs")


def pushed_by(docker: Docker, name: str) -> str:
    """docker push NAME; returns what it says."""
    repository, _, tag = name.rpartition(":")
    path = f"/images/{repository}/push?tag={tag}"
    said = docker.daemon.call("POST", path, b"{}", "application/json").decode()
    assert '"error"' not in said, said
    return said


def pulled_by(docker: Docker, name: str) -> None:
    """docker pull NAME"""
    repository, _, tag = name.rpartition(":")
    said = docker.daemon.call("POST", f"/images/create?fromImage={repository}&tag={tag}").decode()
    assert '"error"' not in said, said


@pytest.mark.root
@pytest.mark.timeout(300)
def test_dockerd_and_layerstore_send_nothing_that_the_other_has_sent(
    root: DockerRoot, proxy: Proxy
) -> None:
    ours, elsewhere, theirs = (f"{proxy.name(fresh())}:1" for _ in range(3))
    with root.store() as store, client_of(proxy.registry) as client:
        image = load(store, docker())
        store.images.tag(image, ours)
        (pushed,) = store.images.push(ours, client=client)
    with root.docker() as daemon:
        assert daemon.inspect_image(image)["RepoDigests"] == [
            f"{ours.removesuffix(':1')}@{pushed.digest}"
        ]
        said = pushed_by(daemon, ours)
        assert said.count("Layer already exists") == 2
        assert pushed.digest in said
        tag_with_port(daemon, image, elsewhere)
        assert pushed_by(daemon, elsewhere).count("Mounted from") == 2
        daemon.import_tar(layer_tar({"theirs": b"1"}), "theirs:1")
        tag_with_port(daemon, "theirs:1", theirs)
        pushed_by(daemon, theirs)
        for name in daemon.inspect_image(image)["RepoTags"]:
            daemon.remove_image(name)
        pulled_by(daemon, ours)
        assert ours in daemon.images()[image]
    proxy.requests.clear()
    with root.store() as store, client_of(proxy.registry) as client:
        store.images.push(theirs, client=client)
    assert proxy.asked("^(POST|PATCH)") == []


def tag_with_port(daemon: Docker, image: str, name: str) -> None:
    """docker tag IMAGE NAME, of a registry with a port."""
    repository, _, tag = name.rpartition(":")
    daemon.daemon.call("POST", f"/images/{image}/tag?repo={repository}&tag={tag}")
