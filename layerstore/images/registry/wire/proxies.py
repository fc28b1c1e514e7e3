"""Which proxy the environment wants a host to be asked by.

Owns HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as Go's programs read them: docker's users have set them
for those.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import make_headers


class Proxies:
    """The environment as it was when this was made."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known = getproxies()

    def for_url(self, url: str) -> str | None:
        """Return the URL of the proxy by which another is asked; None for none."""
        parts = urlsplit(url)
        proxy = self._known.get(parts.scheme)
        if not proxy or self._is_direct(parts.hostname or "", parts.netloc):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _is_direct(self, host: str, place: str) -> bool:
        if host == "localhost" or proxy_bypass(place):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in self._networks())

    def _networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        found = []
        for word in self._known.get("no", "").split(","):
            with suppress(ValueError):  # it is the name of a host
                found.append(ipaddress.ip_network(word.strip(), strict=False))
        return found


def login_of(proxy: str) -> dict[str, str] | None:
    """Return the header by which a proxy is told who asks, as its URL has it; None for nobody."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return None
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return dict(make_headers(proxy_basic_auth=login))
