"""A run's network and its published ports as plain data on their way to a process.

Owns the numbers of the network inside, slirp's usual ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

INTERFACE = "eth0"
ADDRESS, GATEWAY, RESOLVER = "10.0.2.100", "10.0.2.2", "10.0.2.3"
PREFIX = 24
"""Bits of the network of those three: inside, what this machine has in 10.0.2.0/24 can't be had."""
MOST_PORTS = 200
"""Published of a run. A message has room for a few more sockets than that. unix(7), SCM_RIGHTS."""
MTU = 65520
"""Bytes. No wire is behind the interface, and a program that reads larger packets is faster."""


class PublishedPort(NamedTuple):
    """A port of this machine that leads to one of the run's."""

    port: int
    """Of the run."""
    address: str = "0.0.0.0"  # noqa: S104 - docker's
    """IPv4 address of this machine; 0.0.0.0 is all of them."""
    host_port: int = 0
    """Of this machine, from 1 to 65535; 0 is any that is free."""
    last: int = 0
    """The first free one from `host_port` to this one, where it is larger."""
    protocol: str = "tcp"
    """Or `udp`."""

    def __str__(self) -> str:
        return f"{self.address}:{self.host_port} -> {self.port}/{self.protocol}"


class PrivateNetwork(NamedTuple):
    """What a run's own network is made with."""

    program: str
    """Absolute path of slirp4netns or pasta."""
    ports: tuple[PublishedPort, ...] = ()
    dns: tuple[str, ...] = ()
    """Addresses of resolvers; where there are none, those of this machine count."""

    @staticmethod
    def from_plain(fields: Sequence[Any] | None) -> PrivateNetwork | None:
        """Read what JSON has made of one, or of none."""
        if fields is None:
            return None
        program, ports, dns = fields
        return PrivateNetwork(program, tuple(PublishedPort(*port) for port in ports), tuple(dns))


class Connection:
    """What is told of a network, and done for it; this one is none."""

    lost = ""
    """How its program has ended before the command did; usually it has not."""

    def attach(self, pid: int) -> None:
        """Connect a process in a user namespace of its own before it goes on."""
