"""What is pushed is there, as every other tool finds it, and what is there isn't sent again."""

from __future__ import annotations

import gzip
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from layerstore import LayerStore
from layerstore.drivers.records.distribution import DistributionRecords
from layerstore.images.registry.upload import PIECE
from tests.conftest import OpenStore
from tests.images.registry.pushes.pushing import client_of, fresh, push, read_back
from tests.images.samples import LAYERS, docker, files_of, load
from tests.support.archives import digest_of, docker_archive
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import refused
from tests.support.registries.images import LAYER, ask, put_image
from tests.support.registries.proxy import Fault, Proxy
from tests.support.registries.tokens import TokenServer
from tests.support.tars import layer_tar

pytestmark = [NEEDED, pytest.mark.needs("zstd")]

DOCKER_TYPES = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
]
OCI_TYPES = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
]
ZSTD_TYPES = [*OCI_TYPES[:2], "application/vnd.oci.image.layer.v1.tar+zstd"]


@pytest.fixture
def image(store: LayerStore) -> str:
    """The ID of an image of two layers."""
    return load(store, docker())


def sent(proxy: Proxy) -> list[str]:
    """Return what brought something there, or took it from another repository."""
    return proxy.asked(r"^(POST|PATCH|PUT .*/blobs/)")


def test_a_pushed_image_is_the_same_there(
    store: LayerStore, image: str, any_registry: Registry, tmp_path: Path
) -> None:
    rest = f"{fresh()}:1"
    name = any_registry.name(rest)
    store.images.tag(image, name)
    (pushed,) = push(store, any_registry, name)
    there = read_back(any_registry, rest, tmp_path)
    assert (there.config, there.layers) == (image, LAYERS)
    assert (pushed.name, pushed.digest, pushed.size) == (name, there.digest, there.size)


@pytest.mark.parametrize(
    ("options", "types"),
    [
        ({}, DOCKER_TYPES),
        ({"format": "oci"}, OCI_TYPES),
        ({"compression": "zstd"}, ZSTD_TYPES),
        ({"compression": "gzip", "level": 9}, DOCKER_TYPES),
    ],
    ids=str,
)
def test_what_it_is_written_as_can_be_said(
    store: LayerStore,
    image: str,
    registry: Registry,
    tmp_path: Path,
    options: dict[str, Any],
    types: list[str],
) -> None:
    name = fresh()
    push(store, registry, image, registry.name(name), **options)
    there = read_back(registry, name, tmp_path)
    assert (there.types, there.layers) == ([*types, types[-1]], LAYERS)


def test_the_second_push_sends_nothing(store: LayerStore, proxy: Proxy) -> None:
    # So large that it isn't compressed before the registry is asked.
    noise = random.Random(1).randbytes(PIECE + 1)  # noqa: S311 - no secret
    name, image = fresh(), load(store, docker_archive([layer_tar({"noise": noise})]))
    with client_of(proxy.registry) as client:
        for tag in ("1", "2"):
            proxy.requests.clear()
            store.images.push(image, proxy.name(f"{name}:{tag}"), client=client)
    assert sent(proxy) == []
    assert proxy.asked("^PUT") == [f"PUT /v2/{name}/manifests/2"]


def test_equal_layers_are_pushed_as_equal_blobs(
    open_store: OpenStore, registry: Registry, tmp_path: Path
) -> None:
    found = []
    for number in range(2):
        store = open_store(tmp_path / f"root{number}")
        name = fresh()
        push(store, registry, load(store, docker()), registry.name(name))
        found.append(read_back(registry, name, tmp_path / str(number)))
    assert found[0] == found[1]


def test_what_another_repository_has_is_mounted_from_there(
    store: LayerStore, image: str, proxy: Proxy, tmp_path: Path
) -> None:
    source, target = fresh(), fresh()
    with client_of(proxy.registry) as client:
        for name in (source, target):
            proxy.requests.clear()
            store.images.push(image, proxy.name(name), client=client)
    there = read_back(proxy.registry, target, tmp_path)
    assert there.layers == LAYERS
    assert sorted(proxy.asked("^POST.*mount=")) == sorted(
        f"POST /v2/{target}/blobs/uploads/?mount={blob}&from={source}" for blob in there.blobs
    )
    config = there.config
    assert [line for line in sent(proxy) if "mount=" not in line and config not in line] == [
        f"POST /v2/{target}/blobs/uploads/"
    ]


def test_nothing_is_mounted_in_vain(store: LayerStore, image: str, proxy: Proxy) -> None:
    """Neither from another registry, nor what is there and compressed in another way."""
    source, target = fresh(), fresh()
    with client_of(proxy.registry) as client:
        store.images.push(image, proxy.registry.name(source), client=client)
        store.images.push(image, proxy.name(target), client=client)
        store.images.push(image, proxy.name(source), client=client)
        store.images.push(image, proxy.name(target), client=client, compression="zstd")
    assert proxy.asked("mount=") == []


def test_who_mounts_asks_to_read_what_it_is_mounted_from(
    store: LayerStore, image: str, token_registry: Registry, token_server: TokenServer
) -> None:
    source, target = fresh(), fresh()
    for name in (source, target):
        push(store, token_registry, image, token_registry.name(name))
    wanted = {f"repository:{source}:pull", f"repository:{target}:pull,push"}
    assert wanted in map(set, token_server.granted)


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("POST .*mount=", refused("405 Method Not Allowed")),
        ("POST .*mount=", refused("403 Forbidden")),
        ("POST .*mount=", refused("500 Oh")),
        ("GET .*/blobs/", refused("403 Forbidden")),
    ],
    ids=["mounts nothing", "not from there", "fails at it", "read nothing"],
)
def test_who_may_only_send_sends(
    store: LayerStore, image: str, proxy: Proxy, tmp_path: Path, pattern: str, fault: Fault
) -> None:
    proxy.when(pattern, fault)
    source, target = fresh(), fresh()
    with client_of(proxy.registry) as client:
        for name in (source, target):
            store.images.push(image, proxy.name(name), client=client)
    assert proxy.asked(pattern)
    assert read_back(proxy.registry, target, tmp_path).layers == LAYERS


def test_an_image_without_layers_is_pushed(
    store: LayerStore, registry: Registry, tmp_path: Path
) -> None:
    name, image = fresh(), load(store, docker_archive([]))
    push(store, registry, image, registry.name(name))
    there = read_back(registry, name, tmp_path)
    assert (there.config, there.layers) == (image, [])


def test_what_is_known_and_gone_is_sent_anew(
    store: LayerStore, image: str, registry: Registry, tmp_path: Path
) -> None:
    name = fresh()
    push(store, registry, image, registry.name(f"{name}:1"))
    first = read_back(registry, f"{name}:1", tmp_path / "first")
    for blob in first.blobs:
        ask(registry, "DELETE", f"/v2/{name}/blobs/{blob}")
    push(store, registry, image, registry.name(f"{name}:2"))
    assert read_back(registry, f"{name}:2", tmp_path / "second") == first


def odd_blobs(layers: list[bytes]) -> list[tuple[bytes, str]]:
    """Return layers packed as layerstore doesn't pack them."""
    return [(gzip.compress(layers[0], 2), f"{LAYER}+gzip"), (layers[1], LAYER)]


def test_a_pulled_layer_is_pushed_as_the_blob_that_it_was(
    store: LayerStore, registry: Registry, tmp_path: Path
) -> None:
    blobs = odd_blobs(LAYERS)
    source, target = fresh(), fresh()
    put_image(registry, source, "1", blobs, LAYERS)
    with client_of(registry) as client:
        image = store.images.pull(registry.name(f"{source}:1"), client=client)
        store.images.push(image.id, registry.name(target), client=client)
    there = read_back(registry, target, tmp_path)
    assert there.blobs == [digest_of(content) for content, _ in blobs]
    types = [DOCKER_TYPES[2], DOCKER_TYPES[2].removesuffix(".gzip")]
    assert (there.config, there.types[2:]) == (image.id, types)


def test_a_blob_that_is_compressed_otherwise_than_is_wanted_is_not_taken(
    store: LayerStore, image: str, registry: Registry, tmp_path: Path
) -> None:
    """What is pushed of an image whose layers are there by gzip, then by zstd."""
    repository = fresh()
    push(store, registry, image, registry.name(f"{repository}:gzip"))
    push(store, registry, image, registry.name(f"{repository}:zstd"), compression="zstd")
    for number, (options, types) in enumerate(
        [
            ({}, ZSTD_TYPES),
            ({"format": "docker"}, DOCKER_TYPES),
            ({"compression": "gzip", "format": "oci"}, OCI_TYPES),
        ]
    ):
        name = f"{repository}:{number}"
        push(store, registry, image, registry.name(name), **options)
        assert read_back(registry, name, tmp_path / str(number)).types == [*types, types[-1]]


def test_a_record_that_lies_is_no_layer(
    store: LayerStore, image: str, registry: Registry, tmp_path: Path
) -> None:
    """As wrong as that is, what is neither gzip nor zstd is no blob of this layer."""
    name = fresh()
    other = put_image(registry, name, "0", [(b"no tar", LAYER)], [b"no tar"])
    records = DistributionRecords(store.root, store.driver_name, durable=False)
    layer = next(iter(store.map().values()))
    records.learn(layer.diff_id, digest_of(b"no tar"), registry.name(name))
    push(store, registry, image, registry.name(f"{name}:1"))
    there = read_back(registry, f"{name}:1", tmp_path)
    assert (there.layers, other.digest != there.digest) == (LAYERS, True)


def test_a_committed_image_is_the_same_elsewhere(
    open_store: OpenStore, registry: Registry, tmp_path: Path
) -> None:
    here, elsewhere = open_store(), open_store(tmp_path / "elsewhere")
    load(here, docker())
    rw = here.images.create("work", here.images.list()[0].id)
    with rw.mounted() as path:
        Path(path, "made").write_bytes(b"here")
    name = f"{registry.name(fresh())}:1"
    made = here.images.commit(rw, name)
    push(here, registry, name)
    with client_of(registry) as client:
        pulled = elsewhere.images.pull(name, client=client)
    assert pulled.id == made.id
    assert files_of(elsewhere, pulled.id) == files_of(here, made.id)
    rw.release()


def test_the_same_layer_twice_is_sent_once(store: LayerStore, proxy: Proxy, tmp_path: Path) -> None:
    layer = layer_tar({"twice": b"1"})
    image = load(store, docker_archive([layer, layer]))
    name = fresh()
    with client_of(proxy.registry) as client:
        store.images.push(image, proxy.name(name), client=client)
    there = read_back(proxy.registry, name, tmp_path)
    assert there.blobs[0] == there.blobs[1]
    assert len(proxy.asked("^POST")) == 2


def test_what_is_done_is_told_in_the_thread_that_asks(
    store: LayerStore, image: str, registry: Registry
) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    threads = set()

    def progress(what: str, done: int, total: int) -> None:
        told.setdefault(what, []).append((done, total))
        threads.add(threading.get_ident())

    name = registry.name(fresh())
    for _ in range(2):
        push(store, registry, image, name, progress=progress)
    assert set(told) == {digest_of(layer)[7:19] for layer in LAYERS}
    assert all(done == total for (done, total) in (steps[-1] for steps in told.values()))
    assert threads == {threading.get_ident()}


def test_a_layer_that_came_as_a_plain_tar_is_that_elsewhere_too(
    store: LayerStore, registry: Registry, tls_registry: Registry, tmp_path: Path
) -> None:
    blobs = [(gzip.compress(LAYERS[0]), f"{LAYER}+gzip"), (LAYERS[1], LAYER)]
    put_image(registry, "plain", "1", blobs, LAYERS)
    with client_of(registry) as client:
        pulled = store.images.pull(registry.name("plain:1"), client=client)
    store.images.tag(pulled.id, tls_registry.name("plain:1"))
    push(store, tls_registry, tls_registry.name("plain:1"))
    there = read_back(tls_registry, "plain:1", tmp_path)
    assert there.layers == LAYERS
    assert there.manifest["layers"][1]["digest"] == digest_of(LAYERS[1])
    assert there.manifest["layers"][0]["mediaType"].endswith(".gzip")
