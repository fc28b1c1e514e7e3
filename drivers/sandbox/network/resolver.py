"""What a run with a network of its own reads in /etc/resolv.conf and /etc/hosts of that.

Owns the choice of resolvers. The program passes on what is asked of RESOLVER to this machine's
first one, so that one which listens on this machine's loopback only (systemd-resolved's, dnsmasq)
answers, too, and nothing else there is reached: both programs do so for port 53 alone. The others
follow, as they may be reached without it. Source: resolv.conf(5); podman's way with slirp4netns.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from layerstore.drivers.sandbox.network import plan

_OF_THIS_MACHINE = (0, 127)
"""First bytes of addresses that mean whoever uses them."""
_MOST = 3
"""Resolvers that libraries look at. resolv.conf(5), MAXNS."""


def resolver_file(here: bytes, dns: Sequence[str]) -> bytes:
    """Return the file, from this machine's: with search domains and options as they are there."""
    others, servers = [], []
    for line in here.splitlines():
        words = line.split()
        if words[:1] == [b"nameserver"]:
            servers += words[1:2]
        elif words and not words[0].startswith((b"#", b";")):
            others.append(line)
    if dns:
        chosen = [server.encode() for server in dns]
    else:
        chosen = [plan.RESOLVER.encode(), *filter(_can_be_reached, servers)]
    lines = [*others, *(b"nameserver " + server for server in chosen[:_MOST])]
    return b"".join(line + b"\n" for line in lines)


def _can_be_reached(server: bytes) -> bool:
    """Whether it is one that packets from inside get to: no loopback, and IPv4."""
    try:
        address = socket.inet_pton(socket.AF_INET, server.decode("ascii", "replace"))
    except OSError:
        return False
    return address[0] not in _OF_THIS_MACHINE
