"""URLs that somebody else gives: whether we go there, and whose they are.

Owns what is refused of them.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[\x21-\x7e]{1,8192}\Z")


def is_web(url: str) -> bool:
    """Whether it is an absolute URL of HTTP that says nothing of who asks."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # Else it is whoever is asked for its address that fails, and TLS without one.
        (parts.hostname or "").encode("idna")
    except ValueError:
        return False
    return (
        _VISIBLE.match(url) is not None
        and parts.scheme in _PORTS
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
    )


def joined(base: str, target: str) -> str | None:
    """Return where a target leads that was given at a URL; None if that is no URL of HTTP."""
    try:
        url = urljoin(base, target)
    except ValueError:
        return None
    return url if is_web(url) else None


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme, and host with port, of a URL of HTTP: two that differ are two hosts' here."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    host = parts.hostname or ""
    return parts.scheme, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def site_of(url: str) -> str:
    """Return as much of a URL as may be told: what follows the host may be a secret."""
    scheme, host = origin_of(url)
    return f"{scheme}://{host}"


def path_of(url: str) -> str:
    """Return what is asked of a URL's host."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
