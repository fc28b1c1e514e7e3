"""What dockerd is told about registries: daemon.json.

Owns two of its fields, `registry-mirrors` and `insecure-registries`, as dockerd takes them (moby:
registry/config.go). The rest of the file is dockerd's own.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidSettings
from layerstore.images.registry.configured.files import read_json
from layerstore.images.registry.configured.insecure import is_host, is_network

_SCHEME = re.compile(r"https?://")


class DockerSettings(Struct, frozen=True, kw_only=True):
    """What dockerd would go by."""

    mirrors: tuple[str, ...] = ()
    """Of docker's own registry: URLs without a path."""
    insecure: tuple[str, ...] = ()
    """Hosts, with their ports, and networks such as `10.1.0.0/16`."""


class _File(Struct, rename="kebab"):
    registry_mirrors: list[str] | None = None
    insecure_registries: list[str] | None = None


def read_daemon(paths: Iterable[str]) -> DockerSettings:
    """Read the first daemon.json that is there, and isn't kept from this user.

    Raises InvalidSettings and DriverError.
    """
    for path in paths:
        try:
            found = read_json(path, _File)
        except DriverError as error:
            if error.errno != errno.EACCES:
                raise
            continue  # it is for dockerd; whoever asks without it, asks of fewer with more care
        if found is not None:
            return _read(path, found)
    return DockerSettings()


def _read(path: str, found: _File) -> DockerSettings:
    return DockerSettings(
        mirrors=tuple(
            _mirror(path, f"registry-mirrors[{number}]", given)
            for number, given in enumerate(found.registry_mirrors or ())
        ),
        insecure=tuple(
            _insecure(path, f"insecure-registries[{number}]", given)
            for number, given in enumerate(found.insecure_registries or ())
        ),
    )


def _mirror(path: str, field: str, given: str) -> str:
    if not is_mirror(given):
        what = "no http:// or https:// URL of a host without user, path, query or fragment"
        raise InvalidSettings(path, f"{field} is {what}")
    return given.rstrip("/")


def is_mirror(url: str) -> bool:
    """Whether it is a mirror's URL as dockerd takes it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    more = parts.path.strip("/") or parts.query or parts.fragment
    return parts.scheme in ("http", "https") and is_host(parts.netloc) and not more


def _insecure(path: str, field: str, given: str) -> str:
    # dockerd warns of a scheme, and goes on without it.
    host = _SCHEME.sub("", given, count=1).rstrip("/") if _SCHEME.match(given) else given
    if not (is_host(host) or is_network(host)):
        raise InvalidSettings(path, f"{field} is neither a host, with its port, nor a network")
    return host
