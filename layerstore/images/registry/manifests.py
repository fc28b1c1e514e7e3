"""Manifests as they come: which kinds are asked for, and whether one is what was asked for.

Owns media types and digests of manifests; what is in them is for others.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from layerstore.drivers.errors import IntegrityError, RegistryError
from layerstore.images.registry.wire.documents import NotAsExpected, parsed

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest or an index, as others take at most."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
KNOWN = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
ACCEPT = ", ".join(KNOWN)

_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class Fetched(Struct, frozen=True):
    """A manifest, verified."""

    digest: str
    media_type: str
    content: bytes


class Described(Struct, frozen=True):
    """What a registry says of a manifest that it has."""

    digest: str
    media_type: str
    size: int


class _Head(Struct):
    schemaVersion: int = 0  # noqa: N815 - as it is in the file
    mediaType: str = ""  # noqa: N815
    manifests: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()


def is_digest(text: str) -> bool:
    """Whether the text is a digest of an algorithm that is known."""
    algorithm, _, digits = text.partition(":")
    return len(digits) == _LENGTHS.get(algorithm, -1) and not digits.strip("0123456789abcdef")


def digest_of(content: bytes, like: str = "sha256:") -> str:
    """Return the digest of content by the algorithm of another one."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def verified(
    registry: str, what: str, wanted: str, content: bytes, said_digest: str, said_type: str
) -> Fetched:
    """Return a manifest as what was asked for; `said` is what its headers say.

    Raises IntegrityError where it is other content, RegistryError where it isn't a manifest.
    """
    for expected in filter(is_digest, (wanted, said_digest)):
        actual = digest_of(content, expected)
        if actual != expected:
            raise IntegrityError(f"{what} from registry {registry}", expected, actual)
    digest = wanted if is_digest(wanted) else digest_of(content)
    return Fetched(digest, _media_type(registry, what, content, said_type), content)


def plain_type(content_type: str) -> str:
    """Return a Content-Type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _media_type(registry: str, what: str, content: bytes, content_type: str) -> str:
    said = plain_type(content_type)
    try:
        head = parsed(content, _Head)
    except NotAsExpected:
        raise RegistryError(registry, what, "the answer isn't a manifest's JSON") from None
    if said.startswith(_SCHEMA_1) or head.schemaVersion == 1:
        reason = "it is of schema 1, which nobody has made for years: push the image anew"
        raise RegistryError(registry, what, reason)
    is_index, is_image = (
        bytes(part) not in (b"", b"null") for part in (head.manifests, head.layers)
    )
    if is_index and is_image:
        raise RegistryError(registry, what, "it is an index and an image's manifest at once")
    found = head.mediaType or (said if said in KNOWN else "")
    if not found:
        found = OCI_INDEX if is_index else OCI_MANIFEST
    if said in KNOWN and found != said:
        raise RegistryError(registry, what, f"it is {found[:100]!r}, but sent as {said!r}")
    return found
