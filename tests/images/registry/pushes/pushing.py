"""How tests push, and how they see by other tools what a registry has then."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerstore import LayerStore
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.settings import RegistrySettings
from layerstore.images.registry.wire.patience import Patience
from tests.support.archives import digest_of
from tests.support.registries.daemon import Registry
from tests.support.registries.images import get

HASTY = Patience(attempts=4, first_wait=0.001, longest_wait=0.01, silence=100, window=100)


_numbers = itertools.count()


def fresh(name: str = "app") -> str:
    """Return the path of a repository that nothing was pushed to."""
    return f"pushes/{name}{next(_numbers)}"


def client_of(registry: Registry) -> RegistryClient:
    """Return one that knows who may push there, and reads no file of this machine."""
    authorities = (str(registry.authority),) if registry.authority is not None else ()
    logins = {}
    if registry.login is not None:
        user, secret = registry.login
        logins[registry.host] = Login(user=user, secret=secret)
    return RegistryClient(
        RegistrySettings(ca_files=authorities), Credentials(logins), patience=HASTY
    )


def push(store: LayerStore, registry: Registry, *names: str, **more: Any) -> Any:
    """Push by such a client."""
    with client_of(registry) as client:
        return store.images.push(*names, client=client, **more)


@dataclass(frozen=True)
class There:
    """An image as skopeo found it."""

    manifest: dict[str, Any]
    digest: str
    """Of the manifest."""
    size: int
    config: str
    """The configuration's digest, and so the image's ID."""
    layers: list[bytes]
    """As tars."""

    @property
    def types(self) -> list[str]:
        """The media types: of the manifest, the configuration, the layers."""
        described = [self.manifest, self.manifest["config"], *self.manifest["layers"]]
        return [one["mediaType"] for one in described]

    @property
    def blobs(self) -> list[str]:
        """The digests of the layers' blobs."""
        return [layer["digest"] for layer in self.manifest["layers"]]


def read_back(registry: Registry, rest: str, place: Path) -> There:
    """Have skopeo copy an image from there, which verifies all digests, and unpack its layers."""
    get(registry, rest, f"dir:{place}")
    content = (place / "manifest.json").read_bytes()
    manifest = json.loads(content)
    files = [place / layer["digest"].partition(":")[2] for layer in manifest["layers"]]
    layers = [_unpacked(file.read_bytes()) for file in files if file.exists()]
    return There(manifest, digest_of(content), len(content), manifest["config"]["digest"], layers)


def _unpacked(content: bytes) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return subprocess.run(
            ["zstd", "-dc"], input=content, capture_output=True, check=True
        ).stdout
    return content
