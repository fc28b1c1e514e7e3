"""What is pushed under which name, what is called how afterwards, and what is only listed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from layerstore import LayerStore
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.settings import RegistrySettings
from tests.images.registry.pushes.pushing import HASTY, client_of, fresh, push, read_back
from tests.images.samples import LAYERS, docker, load
from tests.images.shapes.test_foreign_layers import DOCKER, OCI, URLS, layout
from tests.images.shapes.test_foreign_layers import OTHER as OWN
from tests.support.archives import as_tar, digest_of, docker_archive
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.images import skopeo
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar

pytestmark = [NEEDED, pytest.mark.needs("zstd")]


def test_an_image_is_called_by_the_digest_too_until_its_tag_goes(
    store: LayerStore, registry: Registry
) -> None:
    repository = registry.name(fresh())
    image = load(store, docker())
    store.images.tag(image, f"{repository}:1")
    (pushed,) = push(store, registry, f"{repository}:1")
    by_digest = f"{repository}@{pushed.digest}"
    assert by_digest in store.images.get(image).names
    assert store.images.get(by_digest).id == image
    removed = store.images.remove(f"{repository}:1")
    assert set(removed.untagged) == {f"{repository}:1", by_digest}


def test_what_it_is_called_elsewhere_is_no_name_of_it_here(
    store: LayerStore, registry: Registry
) -> None:
    image = load(store, docker())
    names = store.images.get(image).names
    for target in (fresh(), f"{fresh()}:2"):
        (pushed,) = push(store, registry, image, registry.name(target))
        assert pushed.name == registry.name(target if ":" in target else f"{target}:latest")
    assert store.images.get(image).names == names


def test_without_a_tag_the_latest_is_pushed(store: LayerStore, registry: Registry) -> None:
    repository = registry.name(fresh())
    image = load(store, docker())
    for tag in ("1", "latest"):
        store.images.tag(image, f"{repository}:{tag}")
    assert [one.name for one in push(store, registry, repository)] == [f"{repository}:latest"]


def test_all_tags_are_pushed_and_shared_layers_once(
    store: LayerStore, proxy: Proxy, tmp_path: Path
) -> None:
    repository = fresh()
    base = load(store, docker())
    layers = [*LAYERS, layer_tar({"more": b"1"})]
    (other,) = store.images.load(io.BytesIO(as_tar(docker_archive(layers, ["other:1"]))))
    store.images.tag(base, f"{proxy.name(repository)}:1")
    store.images.tag(other.id, f"{proxy.name(repository)}:2")
    with client_of(proxy.registry) as client:
        store.images.push(proxy.name(repository), all_tags=True, client=client)
        assert len(proxy.asked("^POST")) == len(layers) + 2
        target = fresh()
        store.images.push(proxy.name(repository), proxy.name(target), all_tags=True, client=client)
    for place, tag, image in ((repository, "1", base), (target, "2", other.id)):
        there = read_back(proxy.registry, f"{place}:{tag}", tmp_path / tag)
        assert there.config == image


def test_a_name_without_a_registry_goes_to_the_default_one(
    store: LayerStore, registry: Registry
) -> None:
    image = load(store, docker())
    repository = fresh()
    store.images.tag(image, f"{repository}:1")
    settings = RegistrySettings(default_registry=registry.host)
    with RegistryClient(settings, Credentials(), patience=HASTY) as client:
        (pushed,) = store.images.push(f"{repository}:1", client=client)
    assert pushed.name == registry.name(f"{repository}:1")


@pytest.mark.parametrize("kind", [DOCKER, f"{OCI}+gzip"])
def test_a_layer_that_is_to_be_had_elsewhere_is_only_listed(
    store: LayerStore, registry: Registry, tmp_path: Path, kind: str
) -> None:
    (image,) = store.images.load(io.BytesIO(as_tar(layout(kind, URLS))))
    repository = fresh()
    ways: list[dict[str, Any]] = [{}, {"format": "oci"}, {"foreign": True}]
    for number, options in enumerate(ways):
        push(store, registry, image.id, registry.name(f"{repository}:{number}"), **options)
        raw = skopeo(registry, "inspect", "--raw", f"docker://{registry.name(repository)}:{number}")
        first = json.loads(raw)["layers"][0]
        if "foreign" in options:
            assert (first["mediaType"][-8:], "urls" in first) == ("tar.gzip", False)
        else:
            suffix = {"docker": ".gzip", "oci": "+gzip"} if kind.endswith("gzip") else {}
            written = options.get("format", "docker")
            plain = {"docker": DOCKER, "oci": OCI}[written]
            assert first["mediaType"] == plain + suffix.get(written, "")
            assert first["urls"] == URLS
    there = read_back(registry, f"{repository}:2", tmp_path)
    assert there.layers[1] == OWN
    assert digest_of(there.layers[0]) == image.layers[0]
