"""Where a repository is: one registry or mirror, and how it is to be reached."""

from __future__ import annotations

from msgspec import Struct


class Place(Struct, frozen=True, kw_only=True):
    """One registry, as it is reached for one repository."""

    registry: str
    """What users call it, as in `docker.io` or `localhost:5000`; credentials go by that name."""
    host: str
    """Host, and port where it isn't the scheme's own, that connections go to."""
    repository: str
    """The repository's path there, as in `library/alpine`."""
    schemes: tuple[str, ...] = ("https",)
    """To be tried in this order."""
    verify: bool = True
    """Whether its certificate must be good."""
    verify_realm: bool = False
    """Whether another machine that gives its tokens must have one all the same, to be shown a
    login: nobody has said that this registry needn't, it is just a machine that is trusted."""
    ca_files: tuple[str, ...] = ()
    """PEM files of authorities that are trusted beside the system's."""
    client_certificate: tuple[str, str] | None = None
    """PEM files of a certificate and its key, by which clients say who they are."""
    is_mirror: bool = False
    """It is only read from, and only what the registry itself would give is believed."""
