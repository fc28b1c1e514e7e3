"""What may be said of a run's network: ports to publish, in docker's grammar, and resolvers.

Pure functions, but for looking for the program that packets pass. Sources: docker run's reference,
"-p" and "--dns"; go-connections' nat.ParsePortSpec.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.sandbox.network.plan import MOST_PORTS, PrivateNetwork, PublishedPort
from layerstore.drivers.sandbox.network.programs import PACKAGES, find_program

_GRAMMAR = (
    "a port is published as [[ADDRESS:]HOST_PORT:]PORT[/tcp|/udp], with ranges FIRST-LAST of the"
    " same length, an IPv4 address and ports from 1 to 65535"
)
_PORT = re.compile(r"(?:(?:([^:]*):)?([0-9-]*):)?([0-9-]+)(?:/([A-Za-z]+))?\Z")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")
_ANY = "0.0.0.0"  # noqa: S104 - docker's default
_LARGEST = 65535
_MOST_RESOLVERS = 3


def private_network(publish: Sequence[str], dns: Sequence[str]) -> PrivateNetwork:
    """Return what such a network is made with. Raises InvalidArgument."""
    ports = tuple(port for text in publish for port in published(text))
    if len(ports) > MOST_PORTS:
        raise InvalidArgument(f"{len(ports)} ports", f"a run publishes at most {MOST_PORTS}")
    program = find_program()
    if program is None:
        wanted = " or ".join(f"{name} (Debian: {package})" for name, package in PACKAGES.items())
        raise InvalidArgument("private", f"this network takes {wanted}, and neither is installed")
    if len(dns) > _MOST_RESOLVERS:
        raise InvalidArgument(dns[-1], f"a run has at most {_MOST_RESOLVERS} resolvers")
    return PrivateNetwork(program=program, ports=ports, dns=tuple(map(_resolver, dns)))


def refuse_without_network(network: str, publish: Sequence[str], dns: Sequence[str]) -> None:
    """Refuse what only a private network can be told. Raises InvalidArgument."""
    if publish:
        raise InvalidArgument(
            publish[0],
            f"network {network} publishes no ports: network private does, and with host they are"
            " this machine's",
        )
    if dns:
        raise InvalidArgument(dns[0], f"network {network} is told no resolvers, private is")


def published(text: str) -> Sequence[PublishedPort]:
    """Read docker's way to say what ports are published. Raises InvalidArgument."""
    found = _PORT.match(text)
    if found is None:
        raise InvalidArgument(text, _GRAMMAR)
    address, host, inside, protocol = found.groups()
    first, last = _range(text, inside)
    begin, end = _range(text, host) if host else (0, 0)
    kind = (protocol or "tcp").lower()
    if kind not in ("tcp", "udp"):
        raise InvalidArgument(text, _GRAMMAR)
    where = _address(text, address) if address else _ANY
    if first == last and end > begin:  # any of these leads to it
        return [PublishedPort(address=where, host_port=begin, last=end, port=first, protocol=kind)]
    if host and end - begin != last - first:
        raise InvalidArgument(text, _GRAMMAR)
    return [
        PublishedPort(
            address=where, host_port=begin + step if host else 0, port=first + step, protocol=kind
        )
        for step in range(last - first + 1)
    ]


def _range(text: str, given: str) -> tuple[int, int]:
    found = _RANGE.match(given)
    if found is None:
        raise InvalidArgument(text, _GRAMMAR)
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= _LARGEST:
        raise InvalidArgument(text, _GRAMMAR)
    return first, last


def _address(text: str, given: str) -> str:
    try:
        return str(ipaddress.IPv4Address(given))
    except ValueError as error:
        raise InvalidArgument(text, _GRAMMAR) from error


def _resolver(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise InvalidArgument(text, "a resolver is an IPv4 address") from error
