"""One image is the same however a tool has packed it: its ID, its names, its layers, its tree."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layerstore import Image, InvalidImage, LayerStore
from tests.conftest import OpenStore
from tests.images.shapes.podman import Podman
from tests.images.shapes.shapes import CONFIG, FULL, IMAGE, LAYERS, NAME, SHAPES, in_tar, layout
from tests.support.archives import as_directory, config_of, digest_of, docker_archive
from tests.support.tars import layer_tar
from tests.support.trees import Facts, read_tree

pytestmark = pytest.mark.root

MADE_ON_THE_WAY = ("implicit", "implicit/parents")
"""No layer holds these directories, so they are as old as their unpacking."""
REF = "org.opencontainers.image.ref.name"


@pytest.fixture(scope="module")
def expected(
    base_directory: Path, request: pytest.FixtureRequest
) -> Callable[[str], dict[str, Facts]]:
    """The tree of the image's layers, by graph driver: registered one by one, without archives."""
    known: dict[str, dict[str, Facts]] = {}

    def tree(driver: str) -> dict[str, Facts]:
        if driver not in known:
            btrfs = driver == "btrfs"
            above = request.getfixturevalue("btrfs_directory") if btrfs else base_directory
            with LayerStore(above / f"shapes-{driver}", driver=driver) as store:
                chain = None
                for tar in LAYERS:
                    chain = store.register(tar, chain).chain_id
                known[driver] = shown(store, chain or "")
        return known[driver]

    return tree


def shown(store: LayerStore, chain: str) -> dict[str, Facts]:
    with store.create_rw_layer("shown", chain) as rw, rw.mounted() as path:
        tree = read_tree(path)
    del tree["."]
    return {
        path: replace(facts, mtime=0) if path in MADE_ON_THE_WAY else facts
        for path, facts in tree.items()
    }


def check(
    store: LayerStore, image: Image, names: list[str], expected: Callable[[str], dict[str, Facts]]
) -> None:
    assert (image.id, list(image.tags)) == (IMAGE, names)
    assert store.images.config(image.id)["rootfs"]["diff_ids"] == [digest_of(t) for t in LAYERS]
    assert shown(store, image.chain_id or "") == expected(store.driver_name)
    assert all(layer.descriptor is None for layer in store.map().values())
    assert store.check() == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_the_same_in_every_shape(
    store: LayerStore, expected: Callable[[str], dict[str, Facts]], shape: str
) -> None:
    make, names = SHAPES[shape]
    notes: list[str] = []
    (image,) = store.images.load(io.BytesIO(make()), notice=notes.append)
    check(store, image, names, expected)
    assert notes == []


SKOPEO = [
    "oci:{}/made:team/app:1",
    "oci-archive:{}/made:team/app:1",
    "docker-archive:{}/made:team/app:1",
    "--dest-compress-format zstd oci:{}/made:team/app:1",
    "--format v2s2 docker-archive:{}/made:team/app:1",
]


@pytest.mark.needs("skopeo")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", SKOPEO)
def test_an_image_is_the_same_as_skopeo_writes_it(
    store: LayerStore, expected: Callable[[str], dict[str, Facts]], tmp_path: Path, words: str
) -> None:
    source = as_directory(layout({REF: "source"}), tmp_path / "source")
    run("skopeo", "copy", f"oci:{source}:source", *words.format(tmp_path).split())
    (image,) = store.images.load(tmp_path / "made")
    check(store, image, [NAME], expected)


@pytest.mark.thorough
@pytest.mark.needs("skopeo")
def test_what_skopeo_reads_of_a_saved_image_is_the_same(
    store: LayerStore, open_store: OpenStore, tmp_path: Path, root_dir: Path
) -> None:
    store.images.load(as_directory(layout({REF: NAME}), tmp_path / "source"))
    store.images.save([NAME], tmp_path / "saved")
    # From one format to the other it writes the configuration anew.
    for kind, name in (("docker-archive", NAME), ("oci-archive", "1")):
        again = tmp_path / kind
        run("skopeo", "copy", f"{kind}:{tmp_path}/saved:{name}", f"{kind}:{again}:{NAME}")
        with open_store(root_dir / kind) as other:
            (image,) = other.images.load(again)
            assert (image.id, image.tags) == (IMAGE, (NAME,))


@pytest.mark.needs("skopeo")
def test_a_directory_of_skopeos_own_is_refused(store: LayerStore, tmp_path: Path) -> None:
    source = as_directory(layout({REF: "source"}), tmp_path / "source")
    run("skopeo", "copy", f"oci:{source}:source", f"dir:{tmp_path}/made")
    with pytest.raises(InvalidImage):
        store.images.load(tmp_path / "made")
    assert store.images.list() == []


@pytest.mark.thorough
@pytest.mark.needs("buildah")
def test_an_image_is_the_same_as_buildah_pushes_it(
    store: LayerStore, expected: Callable[[str], dict[str, Facts]], tmp_path: Path
) -> None:
    source = as_directory(layout({REF: "source"}), tmp_path / "source")
    places = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run")]
    buildah = ["buildah", *places, "--storage-driver", "vfs"]
    run(*buildah, "pull", "--quiet", f"oci:{source}:source")
    for kind in ("oci", "oci-archive", "docker-archive"):
        made = tmp_path / kind
        run(*buildah, "push", "--quiet", IMAGE.removeprefix("sha256:"), f"{kind}:{made}:{NAME}")
        (image,) = store.images.load(made)
        check(store, image, [NAME], expected)
        store.images.remove(NAME)


@pytest.mark.thorough
@pytest.mark.needs("podman")
def test_an_image_is_the_same_as_podman_saves_it(
    store: LayerStore, expected: Callable[[str], dict[str, Facts]], tmp_path: Path
) -> None:
    store.images.load(as_directory(layout({REF: NAME}), tmp_path / "source"))
    store.images.save([NAME], tmp_path / "ours")
    store.images.remove(NAME)
    podman = Podman(tmp_path / "podman")
    podman("load", "--quiet", "--input", tmp_path / "ours")
    assert podman.images() == {IMAGE: [FULL]}
    for kind in ("docker-archive", "oci-archive", "oci-dir", "docker-dir"):
        made = tmp_path / kind
        podman("save", "--quiet", "--format", kind, "--output", made, FULL)
        nameless = kind == "docker-dir"
        (image,) = store.images.load(f"dir:{made}" if nameless else made)
        check(store, image, [] if nameless else [NAME], expected)
        store.images.remove(image.id)


@pytest.mark.needs("umoci")
def test_an_image_that_umoci_has_tagged_is_the_same(
    store: LayerStore, expected: Callable[[str], dict[str, Facts]], tmp_path: Path
) -> None:
    source = as_directory(layout({REF: NAME}), tmp_path / "source")
    run("umoci", "tag", "--image", f"{source}:{NAME}", "other:2")
    (image,) = store.images.load(source)
    check(store, image, ["other:2", NAME], expected)


def test_many_layers_of_store_paths_are_loaded(store: LayerStore) -> None:
    """As nixpkgs' dockerTools make them: absolute names, all of 1970."""
    paths = [f"/nix/store/{'0' * 30}{number:02}-package-1.0" for number in range(10)]
    tars = [
        layer_tar({"/nix": None, "/nix/store": None, path: None, f"{path}/bin": b"x"}, mtime=1)
        for path in paths
    ]
    tars.append(layer_tar({"./": None, "./nix": None, "./bin": paths[0][1:]}, mtime=1))
    members = docker_archive(tars, ["nix:1"], created="1970-01-01T00:00:01+00:00")
    (image,) = store.images.load(io.BytesIO(in_tar(members, mtime=1)))
    tree = shown(store, image.chain_id or "")
    assert {f"{path[1:]}/bin" for path in paths} <= tree.keys()
    assert tree[f"{paths[0][1:]}/bin"].mtime == 10**9
    assert image.created == "1970-01-01T00:00:01+00:00"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def test_the_image_has_what_shapes_are_to_keep() -> None:
    assert digest_of(CONFIG) == IMAGE
    assert config_of(LAYERS) != CONFIG
