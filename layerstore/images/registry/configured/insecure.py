"""Which hosts may be asked without good certificates, or without any.

Owns how hosts are compared with what settings say: names and ports as they are written, addresses
and networks by number (moby: registry.isSecureIndex).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TypeAlias

_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?\Z"
)
_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


def is_host(text: str) -> bool:
    """Whether it is a host's name or address, and maybe a port."""
    return _HOST.match(text) is not None


def is_network(text: str) -> bool:
    """Whether it is a network, as in `10.1.0.0/16`."""
    return "/" in text and _network(text) is not None


def is_loopback(host: str) -> bool:
    """Whether a host, with a port or without, is this machine by its name or address alone."""
    name = _without_port(host)
    if name == "localhost":
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def is_listed(host: str, entries: Iterable[str]) -> bool:
    """Whether a host is one of the entries, or has an address in a network among them.

    Where there is a network, a name is looked up as dockerd does; one that isn't found is in none.
    """
    networks = []
    for entry in entries:
        if entry.lower() == host.lower():
            return True
        if "/" in entry and (network := _network(entry)) is not None:
            networks.append(network)
    return bool(networks) and any(
        address in network for address in _addresses(_without_port(host)) for network in networks
    )


def _addresses(name: str) -> list[_Address]:
    literal = _address(name)
    if literal is not None:
        return [literal]
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # whoever connects is told why
    return [address for one in found if (address := _address(str(one[4][0]))) is not None]


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
