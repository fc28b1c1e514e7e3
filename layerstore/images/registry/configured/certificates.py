"""Certificates for one registry: directories such as `certs.d/HOST:PORT`.

Owns which file there is what: `*.crt` are authorities, `NAME.cert` and `NAME.key` say who the
client is (moby: registry.ReadCertsDirectory; containers-certs.d(5)).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidSettings


class Certificates(Struct, frozen=True):
    """Paths of PEM files."""

    authorities: tuple[str, ...] = ()
    client: tuple[str, str] | None = None
    """Certificate and key."""


def find_certificates(directories: Iterable[str], names: Iterable[str]) -> Certificates:
    """Return those of the first directory that has one for a host, by the first of its names.

    What is kept from this user is passed over, as containers' tools do. Raises InvalidSettings and
    DriverError.
    """
    for directory in directories:
        for name in names:
            try:
                found = read_certificates(f"{directory}/{name}")
            except DriverError as error:
                if error.errno != errno.EACCES:
                    raise
                continue
            if found is not None:
                return found
    return Certificates()


def read_certificates(directory: str) -> Certificates | None:
    """Return what lies in a directory, None where it isn't there. Raises as find_certificates."""
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DriverError.from_os_error("list", directory, error) from error
    clients = []
    for name in names:
        stem, extension = os.path.splitext(name)
        if extension not in (".cert", ".key"):
            continue
        for other in {".cert", ".key"} - {extension}:
            if stem + other not in names:
                hint = "; an authority's ends with .crt" if extension == ".cert" else ""
                raise InvalidSettings(f"{directory}/{name}", f"there is no {stem}{other}{hint}")
        clients.append((f"{directory}/{stem}.cert", f"{directory}/{stem}.key"))
    authorities = tuple(f"{directory}/{name}" for name in names if name.endswith(".crt"))
    return Certificates(authorities, clients[0] if clients else None)
