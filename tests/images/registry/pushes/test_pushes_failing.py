"""A push that is broken off goes on; one that can't leaves no manifest and says why."""

from __future__ import annotations

import asyncio
import io
import random
from pathlib import Path
from typing import Any

import pytest

from layerstore import AsyncLayerStore, LayerStore
from layerstore.drivers.errors import (
    AccessDenied,
    ImageDoesNotExist,
    IntegrityError,
    InvalidArgument,
    JobCancelled,
    LayerStoreError,
    RegistryError,
    RegistryUnreachable,
)
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.settings import RegistrySettings
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.upload import PIECE
from tests.conftest import OpenStore
from tests.images.registry.pushes.pushing import HASTY, client_of, fresh, push, read_back
from tests.images.samples import LAYERS, docker, load
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.homes import home_of
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import dropped, interrupted, refused, swallowed, unanswered
from tests.support.registries.proxy import Fault, Proxy
from tests.support.tars import layer_tar

pytestmark = [NEEDED, pytest.mark.needs("zstd")]

LARGE = layer_tar({"noise": random.Random(1).randbytes(PIECE + PIECE // 2)})  # noqa: S311

FAULTS: dict[str, tuple[str, Fault, int]] = {
    "a piece breaks off": ("PATCH", interrupted(0.5), 1),
    "a piece breaks off, again and again": ("PATCH", interrupted(0.3), 2),
    "a piece's answer is lost": ("PATCH", swallowed(), 1),
    "the end's answer is lost": ("PUT .*digest", swallowed(), 2),
    "the end is not heard": ("PUT .*digest", dropped(), 1),
    "an upload isn't begun": ("POST", dropped(), 2),
    "the manifest's answer is lost": ("PUT .*manifests", swallowed(), 1),
    "it has too much to do": ("PATCH|POST|PUT", refused("503 Service Unavailable"), 3),
    "it takes no HEAD": ("HEAD", refused("405 Method Not Allowed"), 1 << 30),
    "it wants to be left alone": ("POST", refused("429 Busy", {"Retry-After": 0}), 1),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("pattern", "fault", "times"), FAULTS.values(), ids=FAULTS)
def test_it_gets_there_though(
    store: LayerStore, proxy: Proxy, tmp_path: Path, pattern: str, fault: Fault, times: int
) -> None:
    image = load(store, docker_archive([LARGE]))
    proxy.when(pattern, fault, times=times)
    repository = fresh()
    with client_of(proxy.registry) as client:
        store.images.push(image, proxy.name(repository), client=client, compression="zstd")
    there = read_back(proxy.registry, repository, tmp_path)
    assert (there.config, there.layers) == (image, [LARGE])


REFUSED: dict[str, tuple[Fault, type[LayerStoreError], str]] = {
    "who may not push": (refused("403 Forbidden"), AccessDenied, "403"),
    "what is too large": (refused("413 Content Too Large"), RegistryError, "413"),
    "what fails for good": (refused("500 Oh"), RegistryError, "500 Oh"),
    "what never answers": (dropped(), RegistryUnreachable, "registry 127"),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("fault", "kind", "reason"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("pattern", ["POST", "PUT .*manifests", "HEAD"])
def test_it_is_told_why_it_does_not(
    store: LayerStore,
    proxy: Proxy,
    pattern: str,
    fault: Fault,
    kind: type[LayerStoreError],
    reason: str,
) -> None:
    image = load(store, docker())
    proxy.when(pattern, fault)
    with client_of(proxy.registry) as client, pytest.raises(kind, match=reason):
        store.images.push(image, proxy.name(fresh()), client=client)
    assert store.images.get(image).names == (NAME,)


def test_nobody_pushes_without_being_asked_who_that_is(
    store: LayerStore, password_registry: Registry
) -> None:
    image = load(store, docker())
    anybody = RegistryClient(RegistrySettings(verify=False), Credentials(), patience=HASTY)
    with anybody as client, pytest.raises(AccessDenied):
        store.images.push(image, password_registry.name("anybody:1"), client=client)


NO_PUSHES: list[tuple[list[str], dict[str, Any], type[LayerStoreError], str]] = [
    (["nowhere:1"], {}, ImageDoesNotExist, "nowhere:1"),
    (["nowhere"], {"all_tags": True}, ImageDoesNotExist, "nowhere"),
    (["{id}"], {}, InvalidArgument, "what it is to be called"),
    (["{short}"], {}, InvalidArgument, "what it is to be called"),
    (["app:1", "{host}/app@sha256:" + "0" * 64], {}, InvalidArgument, "comes of pushing"),
    (["app:1"], {"all_tags": True}, InvalidArgument, "a repository alone"),
    (["app", "{host}/app:1"], {"all_tags": True}, InvalidArgument, "a repository alone"),
    (["app:1", "{host}/app"], {"format": "tar"}, InvalidArgument, "docker, oci"),
    (["app:1", "{host}/app"], {"compression": "xz"}, InvalidArgument, "gzip or zstd"),
    (["app:1", "{host}/app"], {"level": 10}, InvalidArgument, "from 1 to 9"),
    (["app:1", "{host}/app"], {"parallel": 0}, InvalidArgument, "at least one"),
    (
        ["app:1", "{host}/app"],
        {"format": "docker", "compression": "zstd"},
        InvalidArgument,
        "only gzip",
    ),
]


def test_what_cannot_be_pushed_is_refused_before_anything_is_asked(
    store: LayerStore, proxy: Proxy
) -> None:
    (loaded,) = store.images.load(io.BytesIO(as_tar(docker_archive(LAYERS, ["app:1"]))))
    words = {"id": loaded.id, "short": loaded.id[7:17], "host": proxy.host}
    for names, options, error, reason in NO_PUSHES:
        with pytest.raises(error, match=reason):
            push(store, proxy.registry, *(name.format(**words) for name in names), **options)
    assert proxy.requests == []


def test_a_layer_that_is_no_longer_what_it_was_is_not_pushed(
    open_store: OpenStore, proxy: Proxy
) -> None:
    store = open_store()
    image = load(store, docker())
    for file in home_of(store.root, store.driver_name).rglob("etc/name"):
        file.write_bytes(b"otherwise")
    with client_of(proxy.registry) as client, pytest.raises(IntegrityError):
        store.images.push(image, proxy.name(fresh()), client=client)
    assert proxy.asked("^PUT .*manifests") == []


def test_it_ends_at_once_when_it_is_told_to(store: LayerStore, proxy: Proxy) -> None:
    image = load(store, docker_archive([LARGE]))
    stop = Stop()
    proxy.when("PATCH", unanswered(stop.tell))
    with client_of(proxy.registry) as client:
        with pytest.raises(JobCancelled):
            store.images.push(image, proxy.name(fresh()), client=client, stop=stop)
        store.images.push(image, proxy.registry.name(fresh()), client=client)


def test_a_task_that_is_cancelled_ends_at_once(
    root_dir: Path, proxy: Proxy, tmp_path: Path
) -> None:
    archive = tmp_path / "large.tar"
    archive.write_bytes(as_tar(docker_archive([LARGE])))

    async def cancel() -> None:
        async with AsyncLayerStore(str(root_dir), driver="vfs", durability="relaxed") as store:
            (image,) = await store.images.load(archive)
            with client_of(proxy.registry) as client:
                target = proxy.name(fresh())
                pushing = asyncio.create_task(store.images.push(image.id, target, client=client))
                while not proxy.asked("PATCH"):
                    await asyncio.wait([pushing], timeout=0.01)
                pushing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await pushing

    proxy.when("PATCH", unanswered())
    asyncio.run(cancel())
    assert proxy.asked("^PUT .*manifests") == []
