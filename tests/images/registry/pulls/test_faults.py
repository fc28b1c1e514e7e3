"""A registry that misbehaves: what it does is tried again, or an error that says it.

Each case is one fault at a manifest, a configuration or a layer, for ever or for a while. Nothing
half-made is left, and once the registry behaves the image can be had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from layerstore import (
    AccessDenied,
    IntegrityError,
    LayerStore,
    LayerStoreError,
    LimitExceeded,
    NotInRegistry,
    RegistryError,
    RegistryUnreachable,
)
from layerstore.drivers.model.reference import Reference
from layerstore.images.registry.places import Place
from layerstore.images.registry.settings import RegistrySettings
from tests.images.registry.pulls.pulling import (
    FILES,
    Sample,
    client,
    nothing_half_made,
    pull,
    put_sample,
)
from tests.images.samples import disk, files_of
from tests.support.archives import digest_of
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import (
    challenged,
    cut,
    dropped,
    endless,
    flipped,
    redirected,
    refused,
    replaced,
    shorter,
    trickle,
)
from tests.support.registries.proxy import Fault, Proxy

pytestmark = [NEEDED, pytest.mark.root]

_EVER = 1 << 30
_BUSY = "429 Too Many Requests"


@pytest.fixture
def store(root_dir: Path) -> Iterator[LayerStore]:
    """What other drivers, and other ways to have a store, make of pulls is tried elsewhere."""
    with LayerStore(root_dir, workers=1, durability="relaxed") as opened:
        yield opened


@pytest.fixture(scope="module")
def sample(registry: Registry) -> Sample:
    return put_sample(registry, "faulty/app:1")


@dataclass(frozen=True)
class Case:
    """A fault of a manifest, a config or a layer, and what a pull makes of it."""

    at: str
    name: str
    fault: Fault
    error: type[LayerStoreError] | None
    says: str = ""
    times: int = _EVER

    def __str__(self) -> str:
        return f"{self.at}: {self.name}"


def cases() -> Iterator[Case]:
    about = "of faulty/app: "
    for at in ("manifest", "config", "layer"):
        yield Case(at, "a flipped byte", flipped(), IntegrityError, "but is sha256:")
        yield Case(at, "404", refused("404 Not Found"), NotInRegistry, "404 Not Found")
        yield Case(at, "500", refused("500 Internal Server Error"), RegistryError, "500 Internal")
        yield Case(at, "500 twice", refused("500 Internal Server Error"), None, times=2)
        yield Case(at, "no answer", dropped(), RegistryUnreachable, about)
        yield Case(at, "a trickle", trickle(40, 0.001), None)
    for at in ("config", "layer"):
        yield Case(at, "an end at once", cut(0), RegistryUnreachable, about)
        yield Case(at, "an end in the middle", cut(0.5), None, times=1)
    yield Case("config", "another", replaced(b"not that"), IntegrityError, "but is ")
    yield Case("config", "one that is shorter", shorter(0.5), IntegrityError, "but is ")
    longer = endless(says_length=True)
    for name, fault in (("longer", longer), ("without an end", endless())):
        yield Case("config", f"one {name}", fault, LimitExceeded, "exceeds the limit of")
        yield Case("manifest", f"one {name}", fault, LimitExceeded, "exceeds the limit of 4194304")
    yield Case("layer", "another", replaced(b"not that"), RegistryError, "8 bytes rather than")
    yield Case("layer", "one that is shorter", shorter(0.5), RegistryError, "bytes rather than")
    yield Case("layer", "one longer", longer, RegistryError, "bytes rather than")
    yield Case("layer", "one without an end", endless(), RegistryError, "it goes on after")
    yield Case("layer", "429", refused(_BUSY), RegistryError, "429 Too Many")
    yield Case("layer", "429 twice", refused(_BUSY, {"Retry-After": 0}), None, times=2)
    later = refused(_BUSY, {"Retry-After": 3600})
    yield Case("layer", "429, for an hour", later, RegistryError, "429 Too Many")
    yield Case("layer", "a password", challenged("Basic"), AccessDenied, "to log in")
    yield Case("layer", "a challenge without sense", challenged('"'), AccessDenied, "registry 127")
    realm = challenged('Bearer realm="file:///etc/shadow"')
    yield Case("layer", "a realm that is a file", realm, RegistryError, "is no URL of HTTP")
    yield Case("layer", "a redirect to a file", redirected("file://"), RegistryError, about)
    for name, content in (("half of one", b"{"), ("a page", b"<html>" * 99)):
        lie = replaced(content, {"docker-content-digest": digest_of(content)})
        yield Case("manifest", name, lie, RegistryError, "isn't a manifest's JSON")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_a_fault_is_an_error_that_says_it_or_is_tried_again(
    case: Case, store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    parts = {"manifest": "manifests/", "config": sample.config, "layer": sample.layers[1]}
    proxy.when(f"^GET .*{parts[case.at]}", case.fault, times=case.times)
    if case.error is None:
        image = pull(store, proxy.name(sample.rest))
    else:
        with pytest.raises(case.error, match=re.escape(case.says)):
            pull(store, proxy.name(sample.rest))
        assert store.images.list() == []
        nothing_half_made(store)
        proxy.rules.clear()
        image = pull(store, proxy.name(sample.rest))
    assert files_of(store, image.id) == FILES
    store.images.remove(image.id)
    nothing_half_made(store)
    assert disk(store) == []


class Mirrored(RegistrySettings, frozen=True, kw_only=True):
    """RegistrySettings by which everything is asked of a mirror first."""

    mirror: str

    def places(self, reference: Reference, *, push: bool = False) -> list[Place]:
        """Return the mirror and the registry itself."""
        own = super().places(reference, push=push)[-1]
        return [replace(own, registry=self.mirror, host=self.mirror, is_mirror=True), own]


@pytest.mark.parametrize("kind", ["overlay2", "vfs"])
@pytest.mark.parametrize("layer", [0, 1])
def test_what_a_mirror_has_a_bad_copy_of_comes_from_the_registry(
    kind: str, layer: int, root_dir: Path, proxy: Proxy, sample: Sample
) -> None:
    proxy.when(f"^GET .*{sample.layers[layer]}", flipped())
    told: list[str] = []
    with LayerStore(root_dir, driver=kind, durability="relaxed") as store:
        by = client(settings=Mirrored(mirror=proxy.host))
        image = pull(store, proxy.registry.name(sample.rest), by=by, notice=told.append)
        assert files_of(store, image.id) == FILES
        assert len(told) == 1
        assert f"mirror {proxy.host} is passed over: " in told[0]
        nothing_half_made(store)
