"""A name that stands for images of several platforms: each tool pulls the one that is for it."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from layerstore import LayerStore
from layerstore.drivers.errors import InvalidArgument, LayerStoreError, NotInRegistry
from tests.images.registry.pushes.pushing import client_of, fresh, push
from tests.support.archives import as_tar, digest_of, docker_archive
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.images import DOCKER_LIST, INDEX, skopeo
from tests.support.tars import layer_tar

pytestmark = NEEDED
PLATFORMS: dict[str, dict[str, str]] = {"amd64": {}, "arm64": {"variant": "v8"}, "riscv64": {}}


def image_for(store: LayerStore, architecture: str, **more: Any) -> str:
    layer = layer_tar({"for": architecture.encode()})
    members = docker_archive([layer], (), architecture=architecture, os="linux", **more)
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    return image.id


def pushed_for_all(
    store: LayerStore, registry: Registry, repository: str, **options: Any
) -> dict[str, str]:
    """Push an image for each platform, under that as its tag; returns their IDs."""
    found = {}
    for architecture, more in PLATFORMS.items():
        found[architecture] = image_for(store, architecture, **more)
        target = registry.name(f"{repository}:{architecture}")
        push(store, registry, found[architecture], target, **options)
    return found


def raw(registry: Registry, rest: str) -> bytes:
    return skopeo(registry, "inspect", "--raw", f"docker://{registry.name(rest)}")


@pytest.mark.parametrize(
    ("images", "options", "media_type"),
    [({}, {}, DOCKER_LIST), ({"format": "oci"}, {}, INDEX), ({}, {"format": "oci"}, INDEX)],
    ids=["docker", "OCI", "both"],
)
def test_each_platform_gets_its_image(
    store: LayerStore,
    registry: Registry,
    tmp_path: Path,
    images: dict[str, Any],
    options: dict[str, Any],
    media_type: str,
) -> None:
    repository = fresh()
    pushed = pushed_for_all(store, registry, repository, **images)
    name = registry.name(f"{repository}:all")
    with client_of(registry) as client:
        members = [registry.name(f"{repository}:{tag}") for tag in pushed]
        answer = store.images.push_index(name, members, client=client, **options)
        assert store.images.pull(name, platform="linux/arm64", client=client).id == pushed["arm64"]
    content = raw(registry, f"{repository}:all")
    assert (answer.name, answer.digest, answer.size) == (name, digest_of(content), len(content))
    listed = json.loads(content)
    assert listed["mediaType"] == media_type
    assert [one["platform"] for one in listed["manifests"]] == [
        {"architecture": architecture, "os": "linux", **more}
        for architecture, more in PLATFORMS.items()
    ]
    for architecture, image in pushed.items():
        place = tmp_path / architecture
        command = ["skopeo", "--override-arch", architecture, "copy", "--src-tls-verify=false"]
        subprocess.run([*command, f"docker://{name}", f"dir:{place}"], check=True)
        assert json.loads((place / "manifest.json").read_bytes())["config"]["digest"] == image


def test_of_an_index_all_is_listed_and_digests_do(store: LayerStore, registry: Registry) -> None:
    repository = fresh()
    pushed_for_all(store, registry, repository)
    with client_of(registry) as client:

        def listed(name: str, *members: str) -> list[str]:
            names = [registry.name(f"{repository}{member}") for member in members]
            target = registry.name(f"{repository}:{name}")
            store.images.push_index(target, names, client=client)
            found = json.loads(raw(registry, f"{repository}:{name}"))["manifests"]
            return [one["digest"] for one in found]

        one, two, three = (digest_of(raw(registry, f"{repository}:{tag}")) for tag in PLATFORMS)
        assert listed("some", f"@{one}", ":arm64") == [one, two]
        assert listed("more", ":some", ":riscv64") == [one, two, three]


@pytest.mark.parametrize(
    ("members", "error", "reason"),
    [
        ([], InvalidArgument, "at least one"),
        (["{other}:amd64"], InvalidArgument, "its own repository"),
        (["{here}:amd64", "{here}:twin"], InvalidArgument, "both for linux/amd64"),
        (["{here}:missing"], NotInRegistry, "missing"),
    ],
    ids=["none", "another's", "one platform", "missing"],
)
def test_what_is_no_index_is_not_pushed(
    store: LayerStore,
    registry: Registry,
    members: list[str],
    error: type[LayerStoreError],
    reason: str,
) -> None:
    here, other = registry.name(fresh()), registry.name(fresh())
    push(store, registry, image_for(store, "amd64"), f"{here}:amd64")
    push(store, registry, image_for(store, "amd64", author="twin"), f"{here}:twin")
    names = [member.format(here=here, other=other) for member in members]
    with client_of(registry) as client, pytest.raises(error, match=reason):
        store.images.push_index(f"{here}:all", names, client=client)
    with pytest.raises(AssertionError, match="manifest unknown"):
        skopeo(registry, "inspect", f"docker://{here}:all")
