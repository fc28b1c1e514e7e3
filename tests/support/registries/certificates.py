"""A certificate authority of the tests' own, which nothing but a test trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """A server's, or a client's, with its key; PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Gives certificates to servers on loopback and to clients; its own is in a file."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._authority = trustme.CA()
        self.certificate = place / "ca.crt"
        """PEM file, in a directory of its own as docker's and containers' `certs.d` have them."""
        self._authority.cert_pem.write_to_path(self.certificate)

    def issue(self, *names: str) -> Certificate:
        """Return a new certificate for hosts or addresses, by default those of loopback."""
        made = self._authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
        files = Certificate(self._file(".pem"), self._file(".key"))
        made.private_key_pem.write_to_path(files.key)
        for blob in made.cert_chain_pems:
            blob.write_to_path(files.certificate, append=True)
        return files

    def server_context(self) -> ssl.SSLContext:
        """Return what a server of the test's own process speaks TLS with."""
        files = self.issue()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        return context

    def _file(self, suffix: str) -> Path:
        # Not beside ca.crt: clients take what else is in that directory for theirs.
        keys = self._place / "issued"
        keys.mkdir(exist_ok=True)
        return keys / f"{len(list(keys.glob(f'*{suffix}')))}{suffix}"
