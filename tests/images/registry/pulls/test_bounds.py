"""What a registry can't make a pull do: fill memory or the disk, or go where names don't lead."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from layerstore import (
    DriverError,
    InvalidImage,
    InvalidName,
    LayerStore,
    LayerStoreError,
    LimitExceeded,
    Limits,
)
from tests.conftest import OpenStore
from tests.images.registry.client.fake import Fake, says
from tests.images.registry.pulls.pulling import Sample, nothing_half_made, pull, put_sample
from tests.images.samples import disk, files_of
from tests.support.archives import config_of, digest_of
from tests.support.figures import Tell
from tests.support.processes import peak, reset_peak
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import endless, replaced
from tests.support.registries.images import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Described,
    move_in,
    put_blob,
    put_image,
    put_manifest,
)
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar

pytestmark = NEEDED

MakeFileSystem = Callable[[str, int], Path]

LARGE = 2 << 30
MOST_MORE = 80 << 20
SMALL = Limits(max_bytes=1 << 20)
NO_BOMB = Limits(max_ratio=500, ratio_from=1 << 20)
ZEROS = layer_tar({"zeros": bytes(16 << 20)})
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "+gzip": gzip.compress,
    "+zstd": zstandard.ZstdCompressor().compress,
}


BOMBS = [
    *(pytest.param(SMALL, suffix, id=f"large{suffix}") for suffix in COMPRESSED),
    *(pytest.param(NO_BOMB, suffix, id=f"dense{suffix}") for suffix in COMPRESSED if suffix),
]


@pytest.mark.parametrize(("limits", "suffix"), BOMBS)
def test_a_layer_that_unpacks_to_more_than_is_allowed_is_refused(
    limits: Limits, suffix: str, open_store: OpenStore, registry: Registry
) -> None:
    blob = COMPRESSED[suffix](ZEROS)
    put_image(registry, "bombs/app", "1", [(blob, LAYER + suffix)], [ZEROS])
    store = open_store(limits=limits)
    with pytest.raises(LimitExceeded):
        pull(store, registry.name("bombs/app:1"))
    nothing_half_made(store)
    assert disk(store) == []


@pytest.fixture(scope="module")
def sample(registry: Registry) -> Sample:
    return put_sample(registry, "bounds/app:1")


@pytest.mark.parametrize("says_length", [True, False])
def test_a_manifest_without_an_end_takes_no_memory(
    says_length: bool, store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    proxy.when("/manifests/", endless(b" " * 65536, says_length=says_length))
    before = reset_peak()
    with pytest.raises(LimitExceeded, match="manifest 1 of bounds/app"):
        pull(store, proxy.name(sample.rest))
    assert peak() - before < 20 << 20
    assert disk(store) == []


NAMES = ["{}/../etc/passwd:1", "{}/a/../../b:1", "{}/a:..", "{}/a:../b", "{}/a:1/../2", "{}/.:1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_asked_of_nobody(
    name: str, store: LayerStore, proxy: Proxy
) -> None:
    with pytest.raises(InvalidName):
        pull(store, name.format(proxy.host))
    assert proxy.requests == []


def _lie(sample: Sample, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a manifest like the sample's, changed."""
    described = [Described(LAYER, digest, 10).as_json() for digest in sample.layers]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Described(CONFIG, sample.config, 305).as_json(),
        "layers": described,
    }
    change(document)
    return json.dumps(document).encode()


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a path for a layer": lambda doc: doc["layers"][0].update(digest="sha256:../../../etc/passwd"),
    "a path for the config": lambda doc: doc["config"].update(digest="../../../../etc/passwd"),
    "a path for an algorithm": lambda doc: doc["config"].update(digest="../..:" + "0" * 64),
    "a negative size": lambda doc: doc["layers"][0].update(size=-1),
    "a layer of 2**62 bytes": lambda doc: doc["layers"][0].update(size=1 << 62),
    "a config of 2**40 bytes": lambda doc: doc["config"].update(size=1 << 40),
    "no config": lambda doc: doc.pop("config"),
    "too few layers": lambda doc: doc["layers"].pop(),
    "layers without an end": lambda doc: doc.update(layers=doc["layers"] * 5_000),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_refused(
    lie: str, store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    content = _lie(sample, LIES[lie])
    about = {"docker-content-digest": digest_of(content), "content-type": MANIFEST}
    proxy.when("/manifests/", replaced(content, about))
    with pytest.raises(LayerStoreError) as refused:
        pull(store, proxy.name(sample.rest))
    assert isinstance(refused.value, InvalidImage | LimitExceeded) or "bytes rather than" in str(
        refused.value
    )
    assert all(re.fullmatch(r"GET /v2/bounds/app/\w+/[\w:]+", line) for line in proxy.asked(""))
    nothing_half_made(store)
    assert disk(store) == []


def say_index(fake: Fake, images: Iterable[Mapping[str, object]]) -> str:
    """Have an index listed whose images don't say for which platform they are; return its name."""
    config = Described(CONFIG, digest_of(b"{}"), 2).as_json()
    listed = []
    for image in images:
        content = json.dumps({"config": config, "layers": [], **image}).encode()
        listed.append(Described(MANIFEST, digest_of(content), len(content)).as_json())
        fake.when(digest_of(content), says(body=content, Content_Type=MANIFEST))
    fake.when("all", says(body=json.dumps({"manifests": listed}).encode(), Content_Type=INDEX))
    fake.when("", says(body=b"{}"))
    return f"{fake.host}/app:all"


def test_an_index_that_lists_much_is_read_in_little_memory(store: LayerStore) -> None:
    with Fake() as fake:
        name = say_index(fake, [{"annotations": {"x": f"{n:4000000}"}} for n in range(24)])
        tracemalloc.start()
        try:
            with pytest.raises(InvalidImage):
                pull(store, name)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(fake.asked()) > 24
    assert most < MOST_MORE


def test_an_index_that_lists_too_much_is_refused(store: LayerStore) -> None:
    digests = [f"sha256:{number:064x}" for number in range(110_000)]
    images = [
        {"layers": [Described("", digest, 1).as_json() for digest in digests[n : n + 10_000]]}
        for n in range(0, len(digests), 10_000)
    ]
    with (
        Fake() as fake,
        pytest.raises(LimitExceeded, match=r"blobs that .* limit of 100000"),
    ):
        pull(store, say_index(fake, images))


@pytest.mark.root
def test_a_disk_that_is_full_is_told_and_nothing_is_left(
    make_file_system: MakeFileSystem, registry: Registry
) -> None:
    layers = [layer_tar({"small": b"1"}), layer_tar({"large": bytes(range(256)) * (40 << 12)})]
    full = put_sample(registry, "bounds/full:1", layers)
    with LayerStore(make_file_system("tmpfs", 24) / "root", durability="relaxed") as store:
        with pytest.raises(DriverError, match="No space left"):
            pull(store, registry.name(full.rest))
        nothing_half_made(store)
        assert store.images.list() == []
        small = put_sample(registry, "bounds/small:1", layers[:1])
        assert files_of(store, pull(store, registry.name(small.rest)).id) == {"small": b"1"}


PULL = """
import sys
import tarfile
import tracemalloc
from layerstore import LayerStore
from tests.images.registry.pulls.pulling import client
from tests.support.processes import peak, reset_peak
with LayerStore(sys.argv[1], durability="relaxed") as store, client() as asked:
    store.images.pull(sys.argv[2], client=asked)  # so that all is imported, and every child there
    before = reset_peak()
    store.images.pull(sys.argv[3], client=asked)
    print(peak() - before)
"""


def put_large(registry: Registry, place: Path) -> str:
    """Put an image there whose layer has a file of LARGE bytes, and return its name."""
    header = tarfile.TarInfo("large")
    header.size = LARGE
    with (place / "layer").open("wb") as file:
        file.write(header.tobuf())
        file.truncate(LARGE + 3 * 512)
    blob = move_in(registry, "large/app", place / "layer", LAYER)
    config = json.loads(config_of([]))
    config["rootfs"]["diff_ids"] = [blob.digest]
    described = put_blob(registry, "large/app", json.dumps(config).encode(), CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described.as_json(),
        "layers": [blob.as_json()],
    }
    put_manifest(registry, "large/app", "1", document)
    return registry.name("large/app:1")


@pytest.mark.root
@pytest.mark.thorough
def test_a_layer_of_2_gib_takes_no_memory(
    registry: Registry, root_dir: Path, sample: Sample, tell: Tell
) -> None:
    words = (root_dir / "root", registry.name(sample.rest), put_large(registry, root_dir))
    done = subprocess.run([sys.executable, "-c", PULL, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    more = int(done.stdout)
    tell(f"to pull a layer of 2 GiB takes {more >> 20} MiB more")
    assert more < MOST_MORE
