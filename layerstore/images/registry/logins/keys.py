"""What registries and repositories are called in files of credentials.

Owns which keys of docker's and containers' files are about one place, and in which order they
count. Sources: containers-auth.json(5); docker/cli: cli/config/credentials.ConvertToHostname.
"""

from __future__ import annotations

from collections.abc import Iterator

from layerstore.drivers.model.reference import DEFAULT_HOST
from layerstore.images.registry.settings import DOCKERS_NAMES

_DOCKERS_KEY = f"https://index.{DEFAULT_HOST}/v1/"
_SCHEMES = ("https://", "http://")
_VERSIONS = ("v1", "v2")


def key_of(registry: str) -> str:
    """Return the key by which docker keeps a registry's credentials; containers' tools know it."""
    return _DOCKERS_KEY if registry == DEFAULT_HOST else registry


def normal_key(key: str) -> str:
    """Return the registry, or the registry with a path in it, that a file's key is about."""
    for scheme in _SCHEMES:
        if key.startswith(scheme):
            place = key.removeprefix(scheme).partition("/")[0]
            break
    else:
        place = key.rstrip("/")
    host, slash, path = place.partition("/")
    if path in _VERSIONS:
        slash = path = ""
    return f"{DEFAULT_HOST if host in DOCKERS_NAMES else host}{slash}{path}"


def wanted_keys(registry: str, repository: str) -> Iterator[str]:
    """Give the normal keys that are about a repository, the nearest first, the registry's last."""
    key = f"{registry}/{repository}" if repository else registry
    while key != registry:
        yield key
        key = key.rpartition("/")[0]
    yield registry
