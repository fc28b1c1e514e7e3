"""What layerstore made in a Docker root, used by a real dockerd afterwards."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.docker.api import Docker
from tests.docker.content import ADD, REMOVE, base_tar, xattr_tar
from tests.docker.root import (
    DOCKERS_DRIVERS,
    DockerRoot,
    control_groups,
    need_dockerd,
    place_for,
)
from tests.support.trees import Facts, differences, read_tree
from tests.tar.corpus.builder import directory, file, link, tar

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

CHECK = "test $(ls /base/remade) = ours && test ! -e /base/gone && test -u /srv/setuid && cat /own"


@dataclass(frozen=True)
class Seed:
    """A root with one image of three layers, and the archive that docker save made of it."""

    root: DockerRoot
    archive: Path
    layers: dict[str, bytes]


@pytest.fixture(scope="module", params=DOCKERS_DRIVERS)
def seed(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[Seed]:
    place = place_for(request.param, request, base_directory)
    try:
        need_dockerd(request, base_directory)
        root, archive = DockerRoot(place, request.param), place / "theirs.tar"
        with control_groups(), root.docker() as docker:
            docker.import_tar(base_tar(), "base:1")
            docker.run("added", "base:1", ADD)
            docker.copy_in("added", xattr_tar())
            docker.commit("added", "added:1")
            docker.run("removed", "added:1", REMOVE)
            docker.commit("removed", "theirs:1")
            for name in ("added", "removed"):
                docker.remove(name)
            for name in ("base:1", "added:1"):
                docker.remove_image(name)
            archive.write_bytes(docker.save("theirs:1"))
            layers = docker.saved_layers("theirs:1")
        assert len(layers) == 3
        yield Seed(root, archive, layers)
    finally:
        shutil.rmtree(place)


@pytest.fixture
def root(seed: Seed, root_dir: Path) -> DockerRoot:
    """A copy of the seed's root."""
    return seed.root.copy_to(root_dir)


@pytest.fixture(autouse=True)
def groups() -> Iterator[None]:
    with control_groups():
        yield


def change(path: str) -> None:
    """Change a mounted container as one of layerstore's users would, all kinds of changes."""
    place = Path(path)
    shutil.rmtree(place / "base/remade")
    (place / "base/remade").mkdir()
    (place / "base/remade/ours").write_text("ours")
    os.link(place / "base/file", place / "base/linked-by-us")
    (place / "own").write_text("made by layerstore")
    (place / "own").chmod(0o4711)
    os.mknod(place / "own-device", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    os.setxattr(place / "own", "user.ours", b"\x00\xff")
    with (place / "own-disk").open("wb") as disk:
        disk.seek(4 << 20)
        disk.write(b"amid holes")
        disk.truncate(8 << 20)
    shutil.rmtree(place / "srv/deep")
    (place / "base/keep/file0").unlink()


def commit_ours(store: LayerStore, *, sparse: bool = False) -> str:
    """Commit changes on the seed's image as `ours:1`; returns the image's ID."""
    with store.images.create("changing", "theirs:1") as rw:
        with rw.mounted() as path:
            change(path)
        return store.images.commit(rw, "ours:1", sparse=sparse).id


def check_saved(docker: Docker, name: str, diff_ids: AbstractSet[str]) -> None:
    saved = docker.saved_layers(name)
    assert saved.keys() == diff_ids
    for diff_id, layer in saved.items():
        assert f"sha256:{hashlib.sha256(layer).hexdigest()}" == diff_id


def test_dockerd_lists_runs_and_saves_what_layerstore_committed(
    seed: Seed, root: DockerRoot
) -> None:
    """Also where a layer has sparse members, which dockerd can't save if it has loaded them."""
    with root.store() as store:
        image = commit_ours(store, sparse=True)
        diff_ids = {str(layer.diff_id) for layer in store.map().values()}
        with store.images.create("looking", "ours:1") as rw, rw.mounted() as path:
            shown = read_tree(path)
    assert len(diff_ids) == 4
    with root.docker() as docker:
        assert docker.images()[image] == {"ours:1"}
        docker.run("checking", "ours:1", CHECK)
        assert docker.output("checking") == b"made by layerstore"
        check_saved(docker, "ours:1", diff_ids)
        docker.remove("checking")
        created = docker.create("still", "ours:1", "true")
    with root.store() as store, store.get_rw_layer(created).mounted() as path:
        seen = read_tree(path)
        put_there = ("dev", "etc", "proc", "sys", ".dockerenv", ".")
        theirs = {name: fact for name, fact in seen.items() if not name.startswith(put_there)}
        del shown["."]
        if root.driver == "overlay2":  # dockerd's vfs copies no attributes but capabilities
            assert differences(shown, theirs) == []
        assert differences(shown, theirs, ignore=frozenset({"xattrs"})) == []


def test_dockerd_starts_on_a_root_that_layerstore_began(seed: Seed, root_dir: Path) -> None:
    root = DockerRoot(root_dir, seed.root.driver)
    with root.store() as store:
        (image,) = store.images.load(seed.archive)
        store.images.tag("theirs:1", "second/name:2")
        chains, size = set(image.layers), image.size
    with root.docker() as docker:
        assert docker.images() == {image.id: {"theirs:1", "second/name:2"}}
        assert docker.inspect_image("theirs:1")["Size"] == size
        assert docker.saved_layers("theirs:1") == seed.layers
        docker.run("running", "second/name:2", "test -d /base/remade && echo x > /x")
        assert [entry.path for entry in docker.changes("running")] == ["/x"]
        docker.remove("running")
    assert root.view().leaks(chains, []) == []


def test_both_write_the_same_files_for_the_same_archive(seed: Seed, root_dir: Path) -> None:
    ours = DockerRoot(root_dir, seed.root.driver)
    (root_dir / "theirs").mkdir()
    theirs = DockerRoot(root_dir / "theirs", seed.root.driver)
    with ours.store() as store:
        store.images.load(seed.archive)
    with theirs.docker() as docker:
        docker.load(str(seed.archive))
    mine, other = (_layer_files(root) for root in (ours, theirs))
    assert mine == other
    assert len(mine) == 3 * 3 + 2
    for chain in ours.view().chains if ours.driver != "fuse-overlayfs" else ():
        # There dockerd leaves whiteouts as files by their names, layerstore as the kernel's.
        trees = [_as_in_tar(read_tree(_own_directory(root, chain))) for root in (ours, theirs)]
        # dockerd's vfs copies no attributes but capabilities.
        ignore = {"xattrs"} if ours.driver == "vfs" else set()
        assert differences(*trees, ignore=frozenset(ignore)) == []


def _as_in_tar(tree: dict[str, Facts]) -> dict[str, Facts]:
    """Leave out what tars don't hold: the layer's directory itself, the times of whiteouts."""
    return {
        path: replace(facts, mtime=0) if facts.device == (0, 0) else facts
        for path, facts in tree.items()
        if path != "."
    }


def _layer_files(root: DockerRoot) -> dict[str, bytes]:
    """Read the layer database, but for the driver's IDs, which are random."""
    layers = root.data / "image" / root.driver / "layerdb/sha256"
    found = {}
    for path in layers.rglob("*"):
        if path.is_file() and path.name != "cache-id":
            content = path.read_bytes()
            name = str(path.relative_to(layers))
            found[name] = gzip.decompress(content) if name.endswith(".gz") else content
    return found


def _own_directory(root: DockerRoot, chain: str) -> Path:
    layer = root.data / "image" / root.driver / "layerdb/sha256" / chain.removeprefix("sha256:")
    cache_id = (layer / "cache-id").read_text()
    homes = {"vfs": "vfs/dir", "btrfs": "btrfs/subvolumes"}
    if root.driver in homes:
        return root.data / homes[root.driver] / cache_id
    return root.data / root.driver / cache_id / "diff"


def test_dockerd_loads_what_layerstore_saved(seed: Seed, root: DockerRoot, root_dir: Path) -> None:
    archive = root_dir / "ours.tar"
    (root_dir / "other").mkdir()
    other = seed.root.copy_to(root_dir / "other")
    with other.store() as store:
        image = commit_ours(store)
        store.images.save(["ours:1", "theirs:1"], archive)
        diff_ids = {str(layer.diff_id) for layer in store.map().values()}
    with root.docker() as docker:
        docker.load(str(archive))
        assert docker.images()[image] == {"ours:1"}
        docker.run("checking", "ours:1", CHECK)
        check_saved(docker, "ours:1", diff_ids)
        assert docker.saved_layers("theirs:1") == seed.layers


def test_dockerd_takes_up_layers_registered_beneath_its_own(
    seed: Seed, root: DockerRoot, root_dir: Path
) -> None:
    layer_tar = tar(
        directory("base/remade"),
        file("base/remade/.wh..wh..opq"),
        file("base/remade/ours", b"ours"),
        file("own", b"made by layerstore", mode=0o4711),
        link("linked", "own"),
        file("base/.wh.keep"),
    )
    archive = root_dir / "ours.tar"
    (root_dir / "other").mkdir()
    with seed.root.copy_to(root_dir / "other").store() as store:
        base = store.images.get("theirs:1")
        with store.images.create("changing", "theirs:1") as rw:
            rw.apply_diff(layer_tar)
            store.images.commit(rw, "ours:1")
        store.images.save(["ours:1"], archive)
        top = store.images.get("ours:1").chain_id
        with store.get(str(top)).tar_stream() as stream:
            committed = stream.read()
    with root.store() as store:
        registered = store.register(committed, base.chain_id)
        assert registered.chain_id == top
        cache_id = store.map()[registered.chain_id].cache_id
    with root.docker() as docker:
        docker.load(str(archive))
        docker.run("checking", "ours:1", f"{CHECK} && test ! -e /base/keep")
        assert docker.saved_layers("ours:1")[registered.diff_id] == committed
    with root.store() as store:
        assert store.map()[registered.chain_id].cache_id == cache_id


def test_what_layerstore_released_is_gone_for_dockerd(seed: Seed, root: DockerRoot) -> None:
    with root.store() as store:
        commit_ours(store)
        store.images.remove("theirs:1")
        store.images.remove("ours:1")
        store.drain()
    assert root.view().leaks([], []) == []
    with root.docker() as docker:
        assert docker.images() == {}
        docker.load(str(seed.archive))
        docker.run("again", "theirs:1", "ls /srv")
        assert docker.saved_layers("theirs:1") == seed.layers


def test_what_dockerd_prunes_leaves_what_layerstore_keeps(root: DockerRoot) -> None:
    with root.store() as store:
        with store.images.create("kept", "theirs:1").mounted() as path:
            change(path)
        commit_ours(store)
        kept = store.get_rw_layer("kept")
        changes = kept.changes()
        under = kept.parent
    with root.docker() as docker:
        docker.run("running", "ours:1", "echo x > /x")
        docker.prune_everything()
        assert docker.images() == {}
        assert docker.containers() == {}
    with root.store() as store:
        layers = store.map()
        assert len(layers) == 3
        assert under in layers
        assert root.view().leaks(layers, ["kept"]) == []
        kept = store.get_rw_layer("kept")
        assert kept.changes() == changes
        with kept.mounted() as path:
            assert Path(path, "own").read_text() == "made by layerstore"
            assert Path(path, "base/file").read_text() == "file"
        for chain, facts in layers.items():
            layer = store.get(chain)
            with layer.tar_stream() as stream:
                assert f"sha256:{hashlib.sha256(stream.read()).hexdigest()}" == facts.diff_id
        kept.release()
        store.drain()
