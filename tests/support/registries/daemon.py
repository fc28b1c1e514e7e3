"""One docker-registry of Debian's, on a free port of loopback.

Owns the process, and the directory that it keeps everything in.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.support.processes import ends, kill, nobodys_child
from tests.support.registries.certificates import Certificate
from tests.support.registries.tokens import ISSUER, PASSWORD, SERVICE, USER, TokenServer

PROGRAM = "docker-registry"
NEEDED = pytest.mark.needs(PROGRAM, "skopeo")
"""What tests with the registries of `fixtures` are marked with."""

# By bcrypt, the one kind that it takes, of PASSWORD.
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"


@dataclass(frozen=True)
class Registry:
    """A running one."""

    port: int
    place: Path
    """Its directory: `log`, and `data` with what it stores."""
    authority: Path | None = None
    """PEM file of who vouches for its certificate, where it speaks TLS."""
    login: tuple[str, str] | None = None
    """Who may do everything there, and that one's password, where it asks."""
    tokens: TokenServer | None = None

    @property
    def host(self) -> str:
        """What names begin with."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.host}"

    def name(self, rest: str) -> str:
        """Return the name of what is here, as `pull` takes it."""
        return f"{self.host}/{rest}"

    @property
    def storage(self) -> Path:
        """Where its blobs and repositories are."""
        return self.place / "data/docker/registry/v2"

    def blob(self, algorithm: str, digits: str) -> Path:
        """Return where it keeps a blob."""
        return self.storage / "blobs" / algorithm / digits[:2] / digits / "data"

    def log(self) -> str:
        """Return what it has said so far."""
        return (self.place / "log").read_text()


@contextlib.contextmanager
def running(
    place: Path,
    *,
    certificate: Certificate | None = None,
    authority: Path | None = None,
    with_password: bool = False,
    tokens: TokenServer | None = None,
    signers: Path | None = None,
    mirror_of: str | None = None,
    address: str = "127.0.0.1:0",
) -> Iterator[Registry]:
    """Run one in an empty directory, for a `with` block.

    It speaks TLS where it has a `certificate`, which the `authority`'s file is good for; asks for
    USER and PASSWORD where `with_password`; and else for tokens of `tokens`, signed by whom the
    file `signers` vouches for. `mirror_of` is the address of another, of which it is a cache.
    """
    config = _config(place, certificate, address)
    if with_password:
        (place / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(place / "htpasswd")}}
    if tokens is not None:
        about = {"realm": tokens.realm, "service": SERVICE, "issuer": ISSUER}
        config["auth"] = {"token": {**about, "rootcertbundle": str(signers)}}
    if mirror_of is not None:
        config["proxy"] = {"remoteurl": mirror_of}
    (place / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    pid = nobodys_child([PROGRAM, "serve", str(place / "config.yml")], place / "log")
    try:
        login = (USER, PASSWORD) if with_password or tokens is not None else None
        yield Registry(_port(pid, place / "log"), place, authority, login, tokens)
    finally:
        if not ends(pid, 0):
            kill(pid)  # it has nothing to put away
        assert ends(pid, 60)


def _config(place: Path, certificate: Certificate | None, address: str) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": address, "secret": "test"}
    if certificate is not None:
        http["tls"] = {"certificate": str(certificate.certificate), "key": str(certificate.key)}
    return {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": str(place / "data")},
            "cache": {"blobdescriptor": "inmemory"},
            "delete": {"enabled": True},
        },
        "http": http,
        # Layers that are to be had elsewhere: by default it takes none.
        "validation": {"manifests": {"urls": {"allow": ["^https://example"]}}},
    }


def _port(pid: int, log: Path) -> int:
    """Wait until it says where it listens, which it does when it does."""

    def look() -> re.Match[str] | None:
        assert not ends(pid, 0), log.read_text()
        return re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text())

    patience = Retrying(
        retry=retry_if_result(lambda found: found is None),
        wait=wait_fixed(0.01),
        stop=stop_after_delay(60),
    )
    found = patience(look)
    assert found is not None
    return int(found[1])
