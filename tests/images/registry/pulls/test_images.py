"""What others put into a registry is pulled as it was put: to the bit, by platform, by name."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from layerstore import ImageDoesNotExist, InvalidImage, LayerStore
from tests.docker.other_engines import make_layout
from tests.images.registry.pulls.pulling import nothing_half_made, pull
from tests.images.samples import files_of
from tests.support.archives import as_directory, config_of, digest_of, oci_layout
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.images import LAYER, put, put_image, put_index, skopeo
from tests.support.tars import layer_tar
from tests.tar.corpus.builder import directory, file, link, symlink, tar

pytestmark = NEEDED

BASE = (directory("etc/"), file("etc/name", b"base" * 9999), file("gone"), link("same", "gone"))
TOP = (symlink("etc/link", "name"), file(".wh.gone"), file("etc/name", b"top", uid=7, mode=0o4755))
FORMS = {
    "as it is": (),
    "gzip": ("--dest-compress", "--dest-compress-format=gzip"),
    "zstd": ("--dest-compress", "--dest-compress-format=zstd"),
    "docker's format": ("--format=v2s2",),
}


def tars_of(store: LayerStore, chains: Sequence[str]) -> list[str]:
    """Return the digests of the tars that layers give back."""
    found = []
    for chain in chains:
        layer = store.get(chain)
        with layer.tar_stream() as stream:
            found.append(digest_of(stream.read()))
        layer.release()
    return found


@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_skopeo_put_is_the_one_that_it_was(
    form: str, store: LayerStore, registry: Registry, tmp_path: Path
) -> None:
    # skopeo remembers in which ways it has put a layer, so each form has layers of its own.
    layers = [tar(*members, file("form", form.encode())) for members in (BASE, TOP)]
    config = config_of(layers)
    source = f"oci:{as_directory(oci_layout(layers, {}), tmp_path)}"
    name = put(registry, source, f"skopeo-{list(FORMS).index(form)}/app:1", *FORMS[form])
    image = pull(store, name)
    assert tars_of(store, image.layers) == [digest_of(layer) for layer in layers]
    if form != "docker's format":  # for that the configuration is written anew
        assert image.id == digest_of(config)
    told = json.loads(skopeo(registry, "inspect", f"docker://{name}"))
    assert set(image.names) == {name, f"{name.removesuffix(':1')}@{told['Digest']}"}
    by_digest = pull(store, f"{name.removesuffix(':1')}@{told['Digest']}")
    assert by_digest.id == image.id
    nothing_half_made(store)


@pytest.mark.needs("umoci")
def test_an_image_that_umoci_made_is_pulled(
    store: LayerStore, registry: Registry, tmp_path: Path
) -> None:
    image = f"{make_layout([layer_tar({'base': b'1'})], tmp_path / 'layout')}:latest"
    bundle = tmp_path / "bundle"
    subprocess.run(["umoci", "unpack", "--image", image, bundle], check=True)
    (bundle / "rootfs/made").write_bytes(b"2")
    (bundle / "rootfs/base").unlink()
    subprocess.run(["umoci", "repack", "--image", image, bundle], check=True)
    pulled = pull(store, put(registry, f"oci:{image}", "umoci/app:1"))
    assert len(pulled.layers) == 2
    assert files_of(store, pulled.id) == {"made": b"2"}


def test_layers_come_compressed_in_any_way_and_in_none(
    store: LayerStore, registry: Registry
) -> None:
    plain = [layer_tar({f"{number}": bytes([number]) * 100_000}) for number in range(4)]
    halves = [
        zstandard.ZstdCompressor().compress(part) for part in (plain[1][:999], plain[1][999:])
    ]
    blobs = [
        (plain[0], LAYER),
        (b"".join(halves), f"{LAYER}+zstd"),  # several frames, as zstd:chunked has them
        (plain[2], "application/vnd.docker.image.rootfs.diff.tar"),
        (zstandard.ZstdCompressor().compress(plain[3]), f"{LAYER}+zstd"),
    ]
    put_image(registry, "mixed/app", "1", blobs, plain)
    image = pull(store, registry.name("mixed/app:1"))
    assert tars_of(store, image.layers) == [digest_of(tar) for tar in plain]


def test_a_layer_in_chunks_of_zstd_is_one_of_zstd(
    store: LayerStore, registry: Registry, tmp_path: Path
) -> None:
    # skopeo loses what fills a tar up to whole records when it writes these.
    # What it knows another form of it makes none of anew, so these are layers of no other test.
    own = file("own", os.urandom(8).hex().encode())
    layers = [tar(*members, own).rstrip(b"\0") for members in (BASE, TOP)]
    layers = [layer + bytes(-len(layer) % 512 + 1024) for layer in layers]
    source = f"oci:{as_directory(oci_layout(layers, {}), tmp_path)}"
    chunked = ("--dest-compress", "--dest-compress-format=zstd:chunked")
    name = put(registry, source, "chunked/app:1", *chunked)
    raw = json.loads(skopeo(registry, "inspect", "--raw", f"docker://{name}"))
    for layer in raw["layers"]:
        assert "io.containers.zstd-chunked.manifest-position" in layer["annotations"]
    image = pull(store, name)
    assert image.id == digest_of(config_of(layers))
    assert tars_of(store, image.layers) == [digest_of(layer) for layer in layers]


PLATFORMS = {
    "linux/amd64": {"os": "linux", "architecture": "amd64"},
    "linux/arm64/v8": {"os": "linux", "architecture": "arm64", "variant": "v8"},
    "linux/arm/v6": {"os": "linux", "architecture": "arm", "variant": "v6"},
    "linux/arm/v7": {"os": "linux", "architecture": "arm", "variant": "v7"},
}
WANTED = {
    "linux/amd64": "linux/amd64",
    "linux/arm64": "linux/arm64/v8",
    "linux/arm/v6": "linux/arm/v6",
    "linux/arm/v7": "linux/arm/v7",
    "linux/arm/v8": "linux/arm/v7",
    "linux/arm": "linux/arm/v7",
}


@pytest.fixture(scope="module")
def for_many(registry: Registry) -> str:
    """An image for many platforms, each of whose has one file: its name."""
    images = []
    for platform, facts in PLATFORMS.items():
        layer = layer_tar({"platform": platform.encode()})
        config = {key: value for key, value in facts.items() if key != "os"}
        described = put_image(registry, "many/app", "one", [(layer, LAYER)], [layer], **config)
        images.append((described, facts))
    put_index(registry, "many/app", "1", images)
    return registry.name("many/app:1")


def test_the_image_for_a_platform_is_chosen_the_best_variant_first(
    store: LayerStore, for_many: str
) -> None:
    found = {}
    for wanted in WANTED:
        image = pull(store, for_many, platform=wanted)
        found[wanted] = files_of(store, image.id)["platform"].decode()
    assert found == WANTED


def test_a_platform_that_an_image_isn_t_for_is_told_with_those_that_it_is_for(
    store: LayerStore, for_many: str
) -> None:
    with pytest.raises(InvalidImage, match="s390x") as refused:
        pull(store, for_many, platform="linux/s390x")
    assert all(platform in str(refused.value) for platform in PLATFORMS)
    assert store.images.list() == []


def test_an_image_that_is_there_for_another_platform_is_not_the_one_that_was_asked_for(
    store: LayerStore, for_many: str
) -> None:
    there = pull(store, for_many, platform="linux/amd64")
    for policy in ("missing", "never"):
        for platform in (None, "linux/amd64"):
            assert pull(store, for_many, policy=policy, platform=platform).id == there.id
    with pytest.raises(ImageDoesNotExist, match="for linux/arm64"):
        pull(store, for_many, policy="never", platform="linux/arm64")
    fetched = pull(store, for_many, policy="missing", platform="linux/arm64")
    assert fetched.architecture == "arm64"


@pytest.mark.thorough
@pytest.mark.needs("buildah")
@pytest.mark.parametrize("kind", ["v2s2", "oci"])
def test_an_index_that_buildah_made_is_one(
    kind: str, store: LayerStore, registry: Registry, for_many: str, tmp_path: Path
) -> None:
    where = ("--root", tmp_path / "root", "--runroot", tmp_path / "run", "--storage-driver=vfs")

    def buildah(*words: str) -> None:
        subprocess.run(["buildah", *where, *words], check=True, stdout=subprocess.DEVNULL)

    made = "localhost/made:1"
    buildah("manifest", "create", made)
    for architecture in ("amd64", "arm64"):
        wanted = ("--tls-verify=false", "--os=linux", f"--arch={architecture}")
        buildah("manifest", "add", *wanted, made, f"docker://{for_many}")
    target = registry.name(f"buildah/{kind}:1")
    buildah("manifest", "push", "--all", "--tls-verify=false", f"--format={kind}", made,
            f"docker://{target}")  # fmt: skip
    image = pull(store, target, platform="linux/arm64")
    assert files_of(store, image.id) == {"platform": b"linux/arm64/v8"}
