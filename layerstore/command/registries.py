"""Registries as a command's options say: where they are, who asks, and a client of them.

Owns how options and the machine's files go together: what is said with a command counts first.
It asks nothing itself.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerstore.drivers.errors import InvalidArgument, LayerStoreError
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerstore.asking.progress import Notice
    from layerstore.images.registry.client import RegistryClient
    from layerstore.images.registry.stop import Stop


def settings_of(options: argparse.Namespace) -> RegistrySettings:
    """Return the machine's settings with what the options say.

    Raises InvalidSettings, DriverError.
    """
    return replace(
        RegistrySettings.read(), verify=options.tls_verify, certificate_directory=options.cert_dir
    )


def check_creds(options: argparse.Namespace, names: Iterable[str]) -> None:
    """Raise InvalidArgument where `--creds` would be said to several registries.

    They are one registry's, and nothing tells whose. What is wrong with a name alone is told where
    it is asked for. Raises what reading settings raises.
    """
    if options.creds is None:
        return
    settings = settings_of(options)
    asked: set[str] = set()
    for name in names:
        try:
            asked.add(settings.places(settings.meant(name))[-1].registry)
        except LayerStoreError:
            continue  # that one is told of, and asked nothing
    if len(asked) > 1:
        reason = f"the names are of {' and '.join(sorted(asked))}: ask each of them by itself"
        raise InvalidArgument("--creds", reason)


def registry_client(
    options: argparse.Namespace,
    name: str,
    *,
    push: bool = False,
    stop: Stop | None = None,
    notice: Notice | None = None,
) -> RegistryClient:
    """Return a client for what an image's or a repository's name means.

    What `--creds` says is said to that name's registry alone, never to a mirror. Raises
    InvalidName, RegistryError for a name that is blocked, and what reading settings and credentials
    raises.
    """
    # Only here: it imports what speaks HTTP.
    from layerstore.images.registry.client import RegistryClient  # noqa: PLC0415

    settings = settings_of(options)
    given = {}
    if options.creds is not None:
        itself = settings.places(settings.meant(name), push=push)[-1]
        given[itself.registry] = options.creds
    credentials = Credentials.read(authfile=options.authfile, given=given)
    return RegistryClient(settings, credentials, stop=stop, notice=notice)
