"""What keeps a run's packets from this machine's own loopback, and the other kernel parameters.

Owns routes, neighbours and parameters of the run's network namespace, which its command can't
change. That its program is told to close the host's loopback isn't enough: slirp4netns 1.2 and
pasta of 2023 do that for the gateway's address alone, and pass on a packet to 127.0.0.1 itself,
which whoever binds a socket to the interface can send (SO_BINDTODEVICE, socket(7)).

Sources: rtnetlink(7), arp(7); the kernel's net/ipv4/route.c, ip_route_output_key_hash_rcu, and
net/core/neighbour.c, __neigh_event_send; moby's oci.WithSysctls for the last two parameters.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from layerstore.drivers.sandbox.network import plan

_NEWROUTE, _NEWNEIGH, _ERROR = 24, 28, 2
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_MAIN_TABLE, _STATIC, _UNREACHABLE, _RTA_DST = 254, 4, 7, 1
_PERMANENT, _NDA_DST, _NDA_LLADDR = 0x80, 1, 2
_ETH_IP, _ETH_ARP = 0x0800, 0x0806
_GATEWAY_S = {
    address: b"\x52\x55" + socket.inet_aton(address) for address in (plan.GATEWAY, plan.RESOLVER)
}
"""Hardware addresses, slirp's; neither program minds which it is."""


def close_loopback() -> None:
    """Have packets leave for the gateway and the resolver's address only, and none for 127.0.0.0/8.

    No route leads there. Where a socket is bound to the interface and no route is found, the kernel
    takes any address for a neighbour: so neighbours are looked for no more, and those that there
    are, are fixed. There is no IPv6, which the programs aren't asked for. Raises OSError.
    """
    for name in ("mcast_solicit", "ucast_solicit", "app_solicit"):
        _set(f"ipv4/neigh/{plan.INTERFACE}/{name}", "0")
    with contextlib.suppress(FileNotFoundError):  # a kernel without it
        _set(f"ipv6/conf/{plan.INTERFACE}/disable_ipv6", "1")
    index = socket.if_nametoindex(plan.INTERFACE)
    route = struct.pack(
        "=8BI", socket.AF_INET, 8, 0, 0, _MAIN_TABLE, _STATIC, 0, _UNREACHABLE, 0
    ) + _attribute(_RTA_DST, socket.inet_aton("127.0.0.0"))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
        _ask(sock, _NEWROUTE, route)
        for address, hardware in _GATEWAY_S.items():
            neighbour = struct.pack("=B3xiHBB", socket.AF_INET, index, _PERMANENT, 0, 0)
            neighbour += _attribute(_NDA_DST, socket.inet_aton(address))
            _ask(sock, _NEWNEIGH, neighbour + _attribute(_NDA_LLADDR, hardware))
    _introduce()


def _introduce() -> None:
    """Tell the program whose the address is, as nothing is asked that it would learn it from.

    Else it keeps its first answer back until it has asked, and loses it where that takes long. It
    is a gratuitous ARP request. RFC 5227, 3.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC) as sock:
        sock.bind((plan.INTERFACE, 0))
        own: bytes = sock.getsockname()[4]
        address = socket.inet_aton(plan.ADDRESS)
        kind = struct.pack("!HHHBBH", _ETH_ARP, 1, _ETH_IP, len(own), len(address), 1)
        sock.send(b"\xff" * 6 + own + kind + own + address + bytes(6) + address)


def allow_ping_and_low_ports() -> None:
    """Let every user in it ping, and listen at every port, as docker does. Raises OSError."""
    _set("ipv4/ip_unprivileged_port_start", "0")
    for last in (2**31 - 1, 65535, 0):
        try:
            _set("ipv4/ping_group_range", f"0 {last}")
        except OSError:
            if not last:  # group 0 is in every user namespace
                raise
        else:
            break


def _set(parameter: str, value: str) -> None:
    fd = os.open(f"/proc/sys/net/{parameter}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _ask(sock: socket.socket, kind: int, body: bytes) -> None:
    """Have the kernel do one thing, and raise what it says to that."""
    flags = _REQUEST | _ACK | _CREATE | _REPLACE
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    reply = sock.recv(4096)
    _, answer, _, _, _, code = struct.unpack_from("=IHHIIi", reply)
    if answer != _ERROR or code:
        raise OSError(-code, os.strerror(-code))
