"""The registries that tests use are real: skopeo puts and gets images in each of their dresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.archives import as_directory, digest_of, oci_layout
from tests.support.registries.daemon import NEEDED, Registry, running
from tests.support.registries.images import (
    INDEX,
    LAYER,
    ask,
    get,
    put,
    put_image,
    put_index,
    put_layers,
    skopeo,
)
from tests.support.registries.tokens import TokenServer
from tests.support.tars import layer_tar

pytestmark = NEEDED


def test_skopeo_reads_back_what_it_put(any_registry: Registry, tmp_path: Path) -> None:
    layer = layer_tar({"a": b"1"})
    put_layers(any_registry, [layer], "skopeo/app:1", tmp_path / "there")
    get(any_registry, "skopeo/app:1", f"dir:{tmp_path / 'back'}")
    manifest = json.loads((tmp_path / "back/manifest.json").read_bytes())
    config = (tmp_path / "back" / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes()
    assert json.loads(config)["rootfs"]["diff_ids"] == [digest_of(layer)]


def test_who_says_nothing_gets_nothing_of_a_registry_that_asks(
    password_registry: Registry, token_registry: Registry, tmp_path: Path
) -> None:
    for registry in (password_registry, token_registry):
        anybody = Registry(registry.port, registry.place, registry.authority)
        with pytest.raises(AssertionError, match=r"authentication required|denied"):
            put_layers(anybody, [layer_tar({})], "private/app:1", tmp_path / str(registry.port))


def test_anybody_pulls_what_is_public_by_a_token(
    token_registry: Registry, token_server: TokenServer, tmp_path: Path
) -> None:
    put_layers(token_registry, [layer_tar({})], "public/app:1", tmp_path / "there")
    anybody = Registry(token_registry.port, token_registry.place)
    get(anybody, "public/app:1", f"dir:{tmp_path / 'back'}")
    assert ["repository:public/app:pull"] in token_server.granted


def test_an_index_that_is_put_by_hand_is_one_to_skopeo(registry: Registry, tmp_path: Path) -> None:
    layer = layer_tar({"a": b"1"})
    images = [
        (
            put_image(registry, "hand", name, [(layer, LAYER)], [layer], architecture=name),
            {"os": "linux", "architecture": name},
        )
        for name in ("amd64", "arm64")
    ]
    index = put_index(registry, "hand", "1", images)
    raw = skopeo(registry, "inspect", "--raw", f"docker://{registry.name('hand:1')}")
    assert digest_of(raw) == index.digest
    assert json.loads(raw)["mediaType"] == INDEX
    arm = skopeo(
        registry, "inspect", "--override-arch=arm64", f"docker://{registry.name('hand:1')}"
    )
    assert json.loads(arm)["Architecture"] == "arm64"


def test_a_registry_is_a_cache_of_another(registry: Registry, tmp_path: Path) -> None:
    put_layers(registry, [layer_tar({"a": b"1"})], "cached/app:1", tmp_path / "there")
    (tmp_path / "cache").mkdir()
    with running(tmp_path / "cache", mirror_of=registry.url) as mirror:
        get(mirror, "cached/app:1", f"dir:{tmp_path / 'back'}")
        catalog, _ = ask(mirror, "GET", "/v2/cached/app/tags/list")
    assert json.loads(catalog)["tags"] == ["1"]


def test_a_compressed_image_is_put_as_it_is_wanted(registry: Registry, tmp_path: Path) -> None:
    for way, ending in (("gzip", "+gzip"), ("zstd", "+zstd")):
        # Of one that it has put somewhere in another way skopeo would put that again.
        layer = layer_tar({way: b"1"})
        layout = as_directory(oci_layout([layer], {}), tmp_path / way)
        name = f"compressed/{way}:1"
        put(registry, f"oci:{layout}", name, "--dest-compress-format", way, "--dest-compress")
        raw, _ = ask(registry, "GET", f"/v2/compressed/{way}/manifests/1")
        assert json.loads(raw)["layers"][0]["mediaType"] == LAYER + ending
