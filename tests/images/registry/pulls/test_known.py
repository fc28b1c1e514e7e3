"""What a pull takes down of the blobs that layers came as."""

from __future__ import annotations

import gzip

import pytest

from layerstore import LayerStore
from layerstore.drivers.records.distribution import DistributionRecords, KnownBlob
from tests.images.registry.pulls.pulling import pull
from tests.images.samples import LAYERS
from tests.support.archives import digest_of
from tests.support.registries.daemon import Registry
from tests.support.registries.images import LAYER, put_image

pytestmark = [pytest.mark.root, pytest.mark.needs("docker-registry")]


def known(store: LayerStore) -> list[list[KnownBlob]]:
    records = DistributionRecords(store.root, store.driver_name, durable=False)
    return [records.blobs_of(layer.diff_id) for layer in store.map().values()]


def test_the_blobs_that_were_fetched_are_known(store: LayerStore, registry: Registry) -> None:
    blobs = [gzip.compress(layer) for layer in LAYERS]
    put_image(registry, "known", "1", [(blob, f"{LAYER}+gzip") for blob in blobs], LAYERS)
    pull(store, f"{registry.host}/known:1")
    here = f"{registry.host}/known"
    assert known(store) == [[KnownBlob(digest_of(blob), here)] for blob in blobs]


def test_what_is_said_of_layers_that_were_there_is_not(
    store: LayerStore, registry: Registry
) -> None:
    parent = None
    for layer in LAYERS:
        parent = store.register(layer, parent).chain_id
    others = [gzip.compress(b"%d is something else" % number) for number in range(len(LAYERS))]
    put_image(registry, "lies", "1", [(blob, f"{LAYER}+gzip") for blob in others], LAYERS)
    image = pull(store, f"{registry.host}/lies:1")
    assert image.chain_id == parent
    assert known(store) == [[]] * len(LAYERS)
