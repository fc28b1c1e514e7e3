"""All that dockerd and layerstore tell of one root, in one form, so that it can be compared.

Owns no state; it asks either engine, or the disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from layerstore import Change, LayerStore
from layerstore.drivers.model.ids import ChainID, chain_of, diff_id
from tests.actors.reachable import expected_references
from tests.docker.api import Docker
from tests.docker.root import DockerRoot


@dataclass
class Facts:
    """What one engine says."""

    images: dict[str, set[str]]
    """The names of each image."""
    chains: dict[str, list[str]]
    """The layers of each image, the base first."""
    containers: set[str]
    """IDs, or names."""
    changes: dict[str, list[Change]]
    """What differs in each of them."""
    tars: dict[str, str] = field(default_factory=dict)
    """Digest of what came out for each diff ID, as far as it was asked for."""


def ask_docker(docker: Docker, *, save: bool) -> Facts:
    """Ask dockerd for everything; with `save` for every layer of a named image too."""
    images = docker.images()
    chains = {image: _chains(docker.inspect_image(image)) for image in images}
    named = [next(iter(names)) for names in images.values() if names]
    tars = docker.saved_layers(*named) if named and save else {}
    return Facts(
        images=images,
        chains=chains,
        containers=set(docker.containers()),
        changes={container: docker.changes(container) for container in docker.containers()},
        tars={name: _digest(content) for name, content in tars.items()},
    )


def ask_store(store: LayerStore) -> Facts:
    """Ask layerstore for everything; every layer is read."""
    names = [mount.name for mount in store.mounts()]
    changes = {name: store.get_rw_layer(name).changes() for name in names}
    tars = {}
    for chain, facts in store.map().items():
        layer = store.get(chain)
        with layer.tar_stream() as stream:
            tars[str(facts.diff_id)] = _digest(stream.read())
        layer.release()
    images = store.images.list()
    return Facts(
        images={image.id: set(image.names) for image in images},
        chains={image.id: [str(chain) for chain in image.layers] for image in images},
        containers=set(names),
        changes=changes,
        tars=tars,
    )


def check_disk(root: DockerRoot, store: LayerStore) -> None:
    """Check that layerstore finds nothing wrong or too much, and counts what keeps each layer.

    Nobody may retain anything in the store.
    """
    assert store.faults == []
    layers = store.map()
    mounts = store.mounts()
    images = store.images.list()
    assert [image.missing for image in images if image.missing is not None] == []
    tops = [str(image.chain_id) for image in images if image.chain_id is not None]
    parents = {str(chain): facts.parent for chain, facts in layers.items()}
    counts = {str(chain): facts.references for chain, facts in layers.items()}
    on = [mount.parent for mount in mounts if mount.parent is not None]
    assert counts == expected_references(parents, tops, on)
    assert all(counts.values()), "nothing keeps a layer"
    assert root.view().leaks(counts, [mount.name for mount in mounts]) == []


def check_same(docker: Facts, store: Facts) -> None:
    """Check that both say the same; layerstore knows read-write layers that dockerd does not."""
    assert docker.images == store.images
    assert docker.chains == store.chains
    assert docker.containers <= store.containers
    for container, changes in docker.changes.items():
        assert store.changes[container] == changes, container
    assert docker.tars.keys() <= store.tars.keys()
    for facts in (docker, store):
        assert {name: digest for name, digest in facts.tars.items() if name != digest} == {}


def _chains(inspected: dict[str, list[str] | dict[str, list[str]]]) -> list[str]:
    rootfs = inspected["RootFS"]
    assert isinstance(rootfs, dict)
    chains: list[ChainID] = []
    for name in rootfs.get("Layers") or []:
        chains.append(chain_of(chains[-1] if chains else None, diff_id(name)))
    return [str(chain) for chain in chains]


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
