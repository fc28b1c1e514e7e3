"""What a real dockerd made, opened by layerstore: layers, images, containers, build caches."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerstore import Change, ChangeKind, LayerStore
from layerstore.drivers.model.ids import chain_of, diff_id
from tests.actors.reachable import expected_references
from tests.docker.api import Docker
from tests.docker.content import (
    ADD,
    CAPABILITY,
    CHANGE,
    INSIDE,
    LONG_NAME,
    NON_ASCII_NAME,
    REMOVE,
    SPARSE_SIZE,
    base_tar,
    xattr_tar,
)
from tests.docker.root import (
    DOCKERS_DRIVERS,
    DockerRoot,
    control_groups,
    need_dockerd,
    place_for,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Theirs:
    """A root that dockerd left, and what it said of it."""

    root: DockerRoot
    containers: dict[str, str]
    """ID of each container by name."""
    made_from: dict[str, str]
    """ID of each container's image by the container's ID."""
    changes: dict[str, list[Change]]
    """docker diff of each container by name."""
    images: dict[str, set[str]]
    """Names of each image by ID."""
    diff_ids: dict[str, list[str]]
    """The layers of each image by ID, the base first."""
    sizes: dict[str, int]
    """Size of each image by ID."""
    tars: dict[str, bytes]
    """What docker save gave of each layer, by diff ID."""

    def chains(self, image: str) -> list[str]:
        chains: list[str] = []
        for name in self.diff_ids[image]:
            chains.append(chain_of(chains[-1] if chains else None, diff_id(name)))  # type: ignore[arg-type]
        return chains


@pytest.fixture(scope="module", params=DOCKERS_DRIVERS)
def theirs(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[Theirs]:
    place = place_for(request.param, request, base_directory)
    try:
        need_dockerd(request, base_directory)
        root = DockerRoot(place, request.param)
        with control_groups(), root.docker() as docker:
            made = _make(docker, root)
        yield made
    finally:
        shutil.rmtree(place)


def _make(docker: Docker, root: DockerRoot) -> Theirs:
    docker.import_tar(base_tar(), "base:1")
    containers = {"added": docker.run("added", "base:1", ADD)}
    docker.copy_in("added", xattr_tar())
    docker.commit("added", "added:1")
    for name, image, script in (("removed", "added", REMOVE), ("changed", "removed", CHANGE)):
        containers[name] = docker.run(name, f"{image}:1", script)
        docker.commit(name, f"{name}:1")
    containers["inside"] = docker.run("inside", "changed:1", INSIDE)
    containers["created"] = docker.create("created", "changed:1", "true")
    docker.tag("added:1", "one/more/name:latest")
    images = docker.images()
    facts = {image: docker.inspect_image(image) for image in images}
    return Theirs(
        root=root,
        containers=containers,
        made_from={container: docker.image_of(container) for container in containers.values()},
        changes={name: docker.changes(name) for name in containers},
        images=images,
        diff_ids={image: facts[image]["RootFS"]["Layers"] for image in images},
        sizes={image: facts[image]["Size"] for image in images},
        tars=docker.saved_layers("changed:1"),
    )


@pytest.fixture
def opened(theirs: Theirs) -> Iterator[LayerStore]:
    """The root itself, to be looked at only."""
    with theirs.root.store() as store:
        yield store


@pytest.fixture
def copied(theirs: Theirs, root_dir: Path) -> DockerRoot:
    """A copy of the root, to be changed."""
    return theirs.root.copy_to(root_dir)


def _paths(root: DockerRoot) -> set[Path]:
    parts = ("overlay2", "btrfs", "fuse-overlayfs", "vfs", "image")
    return {path for part in parts for path in (root.data / part).rglob("*")}


def test_opening_changes_nothing(theirs: Theirs) -> None:
    before = _paths(theirs.root)
    with theirs.root.store() as store:
        assert store.faults == []
        store.drain()
    assert _paths(theirs.root) == before


def test_every_layer_is_listed_with_what_keeps_it(theirs: Theirs, opened: LayerStore) -> None:
    chains = {image: theirs.chains(image) for image in theirs.images}
    layers = opened.map()
    assert layers.keys() == {chain for found in chains.values() for chain in found}
    assert len(layers) == 4
    tops = [found[-1] for found in chains.values()]
    parents = {str(name): layer.parent for name, layer in layers.items()}
    on = [mount.parent for mount in opened.mounts() if mount.parent is not None]
    counts = {name: layer.references for name, layer in layers.items()}
    assert counts == expected_references(parents, tops, on)
    assert max(counts.values()) == 3


def test_every_container_is_listed_with_its_init_layer(theirs: Theirs, opened: LayerStore) -> None:
    mounts = {mount.name: mount for mount in opened.mounts()}
    assert mounts.keys() == set(theirs.containers.values())
    assert all(mount.init_id == f"{mount.mount_id}-init" for mount in mounts.values())
    assert all(mount.state == "ready" and mount.path is None for mount in mounts.values())
    assert {name: mount.image for name, mount in mounts.items()} == theirs.made_from
    leaks = theirs.root.view().leaks(opened.map(), mounts)
    assert leaks == []


def test_every_image_is_listed_with_its_names_and_size(theirs: Theirs, opened: LayerStore) -> None:
    images = opened.images.list()
    assert {image.id: set(image.names) for image in images} == theirs.images
    assert {image.id: list(image.layers) for image in images} == {
        image: theirs.chains(image) for image in theirs.images
    }
    assert {image.id: image.size for image in images} == theirs.sizes


def test_every_layer_comes_back_as_docker_saves_it(theirs: Theirs, opened: LayerStore) -> None:
    layers = opened.map()
    assert {layer.diff_id for layer in layers.values()} == theirs.tars.keys()
    for chain, facts in layers.items():
        layer = opened.get(chain)
        with layer.tar_stream() as stream:
            assert stream.read() == theirs.tars[facts.diff_id]


def _skip_by_fuse(driver: str) -> None:
    """Skip what dockerd itself makes otherwise by fuse-overlayfs, of which it compares mounts.

    A directory that was made again is none of its changes, and a hard link loses set-user-ID bits.
    """
    if driver == "fuse-overlayfs":
        pytest.skip("dockerd's content differs by fuse-overlayfs")


def test_what_changed_in_a_container_is_what_docker_says(
    theirs: Theirs, opened: LayerStore
) -> None:
    _skip_by_fuse(opened.driver_name)
    for name, container in theirs.containers.items():
        assert opened.get_rw_layer(container).changes() == theirs.changes[name], name
    kinds = {change.kind for found in theirs.changes.values() for change in found}
    assert kinds == set(ChangeKind)
    assert theirs.changes["created"] == []


def test_a_container_shows_everything_that_docker_put_into_it(
    theirs: Theirs, copied: DockerRoot
) -> None:
    _skip_by_fuse(copied.driver)
    with (
        copied.store() as store,
        store.get_rw_layer(theirs.containers["created"]).mounted() as path,
    ):
        srv, base = Path(path, "srv"), Path(path, "base")
        assert (srv / "setuid").stat().st_mode & 0o7777 == 0o6755
        assert (srv / "pair").samefile(srv / "pair-too")
        assert (srv / "null").is_char_device()
        assert (srv / "disk").is_block_device()
        assert (srv / NON_ASCII_NAME).read_text() == "accents again\n"
        assert not (srv / LONG_NAME).exists()
        assert not (srv / "fifo").exists()
        assert os.getxattr(srv / "capable", "security.capability") == CAPABILITY
        assert (srv / "sparse").stat().st_size == 3_000_000 < SPARSE_SIZE
        assert os.listdir(base / "remade") == ["new"]
        assert (base / "remade/new").read_text() == "new\nafter\n"
        assert os.listdir(base / "vanishes") == ["back"]
        assert os.listdir(base / "emptied") == []
        assert (base / "becomes-file").is_file()
        assert (base / "becomes-directory/in").is_file()
        assert os.readlink(base / "becomes-link") == "remade"
        assert Path(path, ".dockerenv").is_file()  # from the container's init layer
        if copied.driver == "overlay2":
            # Of attributes, docker commit and dockerd's vfs keep capabilities only.
            assert os.getxattr(base / "noted", "user.note") == b"note 0"
            assert os.getxattr(base / "noted-directory", "user.note") == b"note 0"


def test_containers_can_be_mounted_changed_and_released(theirs: Theirs, copied: DockerRoot) -> None:
    names = theirs.containers
    _skip_by_fuse(copied.driver)
    with copied.store() as store:
        inside = store.get_rw_layer(names["inside"])
        with inside.mounted() as path:
            Path(path, "added-by-us").write_text("ours")
            Path(path, "mine").unlink()
            Path(path, "base/mode").chmod(0o640)
        changed = {change.path: change.kind for change in inside.changes()}
        expected = {change.path: change.kind for change in theirs.changes["inside"]}
        del expected["/mine"]
        added = {"/added-by-us": ChangeKind.ADD, "/base/mode": ChangeKind.MODIFY}
        assert changed == expected | added
        for name in names.values():
            if name != inside.name:
                store.get_rw_layer(name).release()
        assert [mount.name for mount in store.mounts()] == [inside.name]
        store.drain()
        assert copied.view().leaks(store.map(), [inside.name]) == []
        inside.release()
        for image in store.images.list():
            store.images.remove(image.id, force=True)
        store.drain()
        assert store.map() == {}
    assert copied.view().leaks([], []) == []


def test_dockerd_gets_rid_of_a_container_whose_files_layerstore_released(
    theirs: Theirs, copied: DockerRoot
) -> None:
    with copied.store() as store:
        store.get_rw_layer(theirs.containers["inside"]).release()
        store.images.remove("one/more/name:latest")
        chains = set(store.map())
    with control_groups(), copied.docker() as docker:
        listed = docker.containers()
        assert set(theirs.containers.values()) - listed.keys() <= {theirs.containers["inside"]}
        assert all("one/more/name:latest" not in names for names in docker.images().values())
        for name in ("added", "removed", "changed"):
            assert docker.changes(theirs.containers[name]) == theirs.changes[name]
    view = copied.view()
    left = set(theirs.containers.values()) - {theirs.containers["inside"]}
    assert view.leaks(chains, left) == []


def test_what_build_kit_caches_outlives_its_image(theirs: Theirs, root_dir: Path) -> None:
    root = DockerRoot(root_dir, theirs.root.driver)
    context = root_dir / "context"
    context.mkdir()
    steps = ("FROM base:1", "RUN echo built > /built", "COPY Dockerfile /from", "RUN rm /built")
    (context / "Dockerfile").write_text("\n".join(steps))
    with control_groups():
        with root.docker() as docker:
            docker.import_tar(base_tar(), "base:1")
            _build(docker, context, "built:1")
            before = docker.saved_layers("built:1")
        with root.store() as store:
            chains = set(store.map())
            assert {layer.diff_id for layer in store.map().values()} == before.keys()
            store.images.remove("built:1")
            store.drain()
            assert set(store.map()) == chains
        with root.docker() as docker:
            output = _build(docker, context, "built:2")
            assert output.count("CACHED") == len(steps) - 1
            assert docker.saved_layers("built:2") == before
            docker.run("again", "built:2", "cat /from && test ! -e /built")


def _build(docker: Docker, context: Path, name: str) -> str:
    """docker build, by BuildKit; its session is more than the plain API, hence the command."""
    command = ["/usr/bin/docker", "-H", f"unix://{docker.daemon.address}", "build"]
    done = subprocess.run(
        [*command, "--network=none", "--progress=plain", "-t", name, context],
        env={"DOCKER_BUILDKIT": "1", "HOME": str(context.parent), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
