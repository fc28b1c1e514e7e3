"""Whom to trust, and who we are, when a connection is made.

Owns the TLS contexts.
"""

from __future__ import annotations

import ssl

from msgspec import Struct


class Trust(Struct, frozen=True, kw_only=True):
    """Settings of TLS for one place."""

    verify: bool = True
    ca_files: tuple[str, ...] = ()
    client_certificate: tuple[str, str] | None = None


class Unusable(Exception):
    """Something of this machine can't be used: a file of certificates, a proxy; the text says."""


def tls_context(trust: Trust) -> ssl.SSLContext:
    """Make a context; raises Unusable."""
    context = ssl.create_default_context()
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in trust.ca_files:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise Unusable(f"certificates in {path}: {_reason(error)}") from error
    if trust.client_certificate is not None:
        certificate, key = trust.client_certificate
        try:
            # A key that wants a password is refused rather than asked for at the terminal.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except OSError as error:
            files = f"certificate {certificate} with key {key}"
            raise Unusable(f"{files}: {_reason(error)}") from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return error.strerror or type(error).__name__
