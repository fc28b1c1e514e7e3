"""Putting images into a registry, and looking at what is there: by skopeo, and by bare requests.

Owns nothing. What skopeo would refuse to make, such as a manifest that lies, goes by `put_blob` and
`put_manifest`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.archives import as_directory, config_of, digest_of, oci_layout
from tests.support.registries.daemon import Registry

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def skopeo(registry: Registry, command: str, *arguments: str, side: str = "") -> bytes:
    """Have skopeo do something with a registry, which is its `src` or `dest` if it has sides."""
    prefix = f"--{side}-" if side else "--"
    options = [f"{prefix}cert-dir={registry.authority.parent}"] if registry.authority else []
    options += [] if registry.authority else [f"{prefix}tls-verify=false"]
    if registry.login is not None:
        options.append(f"{prefix}creds={':'.join(registry.login)}")
    done = subprocess.run(
        ["skopeo", command, *options, *arguments], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def put(registry: Registry, source: str, rest: str, *options: str) -> str:
    """Have skopeo copy an image, as in `oci:DIR` or `docker-archive:FILE`, and return its name."""
    name = registry.name(rest)
    skopeo(registry, "copy", *options, source, f"docker://{name}", side="dest")
    return name


def put_layers(
    registry: Registry, layers: Sequence[bytes], rest: str, place: Path, *options: str
) -> str:
    """Have skopeo put an image of (plain) layers there; `place` is an empty directory to use."""
    layout = as_directory(oci_layout(layers, {}), place)
    return put(registry, f"oci:{layout}", rest, *options)


def get(registry: Registry, rest: str, target: str, *options: str) -> None:
    """Have skopeo copy an image from there."""
    skopeo(registry, "copy", *options, f"docker://{registry.name(rest)}", target, side="src")


@dataclass(frozen=True)
class Described:
    """What a manifest says of a blob, or an index of a manifest."""

    media_type: str
    digest: str
    size: int

    def as_json(self, **more: object) -> dict[str, object]:
        about = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**about, **more}


def put_blob(registry: Registry, repository: str, content: bytes, media_type: str) -> Described:
    """Put a blob there, in one piece."""
    _, headers = ask(registry, "POST", f"/v2/{repository}/blobs/uploads/")
    where = urlsplit(headers["location"])
    digest = digest_of(content)
    ask(registry, "PUT", f"{where.path}?{where.query}&digest={digest}", content)
    return Described(media_type, digest, len(content))


def move_in(registry: Registry, repository: str, path: Path, media_type: str) -> Described:
    """Make a file a blob of a repository by moving it to where the registry keeps them.

    For what would take long to be sent; holes stay holes.
    """
    with path.open("rb") as file:
        digits = hashlib.file_digest(file, "sha256").hexdigest()
    place = registry.blob("sha256", digits)
    place.parent.mkdir(parents=True)
    blob = Described(media_type, f"sha256:{digits}", path.stat().st_size)
    shutil.move(path, place)
    known = registry.storage / f"repositories/{repository}/_layers/sha256" / digits / "link"
    known.parent.mkdir(parents=True)
    known.write_text(blob.digest)
    return blob


def put_manifest(
    registry: Registry, repository: str, tag: str, document: Mapping[str, object] | bytes
) -> Described:
    """Put a manifest or an index there, of the media type that it says that it has."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    media_type = str(json.loads(content)["mediaType"])
    ask(registry, "PUT", f"/v2/{repository}/manifests/{tag}", content, media_type)
    return Described(media_type, digest_of(content), len(content))


def put_image(
    registry: Registry,
    repository: str,
    tag: str,
    blobs: Sequence[tuple[bytes, str]],
    plain: Sequence[bytes],
    **config: object,
) -> Described:
    """Put an image there: its layers as blobs with media types, and as the tars that they are."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put_blob(registry, repository, config_of(plain, **config), CONFIG).as_json(),
        "layers": [put_blob(registry, repository, *blob).as_json() for blob in blobs],
    }
    return put_manifest(registry, repository, tag, document)


def put_index(
    registry: Registry,
    repository: str,
    tag: str,
    images: Sequence[tuple[Described, Mapping[str, str]]],
) -> Described:
    """Put an index there, of manifests with their platforms."""
    entries = [image.as_json(platform=dict(platform)) for image, platform in images]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    return put_manifest(registry, repository, tag, document)


def ask(
    registry: Registry,
    method: str,
    target: str,
    body: bytes = b"",
    media_type: str = "",
) -> tuple[bytes, dict[str, str]]:
    """Make a request that has to succeed, and return its answer's body and (lower-case) headers."""
    connection = _connection(registry)
    headers = {
        "Content-Type": media_type or "application/octet-stream",
        "Accept": ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST)),
    }
    if registry.login is not None and registry.tokens is None:
        headers["Authorization"] = f"Basic {b64encode(':'.join(registry.login).encode()).decode()}"
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 300, f"{method} {target}: {answer.status} {content.decode()}"
        return content, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def _connection(registry: Registry) -> http.client.HTTPConnection:
    if registry.authority is None:
        return http.client.HTTPConnection(registry.host, timeout=60)
    context = ssl.create_default_context(cafile=str(registry.authority))
    return http.client.HTTPSConnection(registry.host, timeout=60, context=context)
