"""Published ports: kept free before a run begins, and then given to its program.

Owns the ports of this machine between the two. Source: slirp4netns(1), "API SOCKET".
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Sequence

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.network import plan
from layerstore.drivers.sandbox.network.helper import Helper
from layerstore.drivers.system.readable import receive_descriptors

_LOWEST = 1024
"""The first port that needs no privilege, where /proc/sys/net/ipv4/ip_unprivileged_port_start is
as usual."""
_LONGEST_ANSWER = 4096
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def hand_over(
    wanted: Sequence[plan.PublishedPort], there: socket.socket
) -> tuple[plan.PublishedPort, ...]:
    """Take ports of this machine that are free, and send them by a unix socket, to `receive`.

    Returns them as they were chosen. On the way they are nobody else's. Raises DriverError, which
    names the port that can't be had.
    """
    with contextlib.ExitStack() as sockets:
        taken = [_take(port, sockets) for port in wanted]
        for port in (both := [port for _, port in taken]):
            if sum(other._replace(port=port.port) == port for other in both) > 1:
                raise _refused(port, port.host_port, OSError(errno.EADDRINUSE, ""))
        socket.send_fds(there, [b"h"], [sock.fileno() for sock, _ in taken])
        return tuple(port for _, port in taken)


def _take(
    port: plan.PublishedPort, sockets: contextlib.ExitStack
) -> tuple[socket.socket, plan.PublishedPort]:
    for number in range(port.host_port, max(port.host_port, port.last) + 1):
        sock = sockets.enter_context(socket.socket(socket.AF_INET, _KINDS[port.protocol]))
        if number and port.protocol == "tcp":  # connections that are over are in nobody's way
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((port.address, number))
        except OSError as error:
            if number >= port.last or error.errno != errno.EADDRINUSE:
                raise _refused(port, number, error) from error
        else:
            return sock, port._replace(host_port=sock.getsockname()[1], last=0)
    raise AssertionError("the last one is returned or refused")


def receive(here: socket.socket) -> list[int]:
    """Return descriptors of what was handed over."""
    return receive_descriptors(here, 1, plan.MOST_PORTS)[1]


def _refused(port: plan.PublishedPort, number: int, error: OSError) -> DriverError:
    return DriverError.from_os_error("publish", f"{port.address}:{number}/{port.protocol}", error)


def wants_privilege(ports: Sequence[plan.PublishedPort]) -> bool:
    """Whether only root may listen at one of them."""
    return any(port.host_port < _unprivileged() for port in ports)


def refuse_low(ports: Sequence[plan.PublishedPort]) -> None:
    """Refuse those that the program may not listen at. Raises NotPermitted, which names one."""
    for port in ports:
        if wants_privilege([port]):
            raise _refused(port, port.host_port, OSError(errno.EACCES, ""))


def _unprivileged() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "rb") as file:
            return int(file.read())
    except FileNotFoundError:
        return _LOWEST


def publish(helper: Helper, ports: Sequence[plan.PublishedPort]) -> None:
    """Have slirp4netns listen at them. Raises DriverError, which names the port."""
    for port in ports:
        request = {
            "execute": "add_hostfwd",
            "arguments": {
                "proto": port.protocol,
                "host_addr": port.address,
                "host_port": port.host_port,
                "guest_addr": plan.ADDRESS,
                "guest_port": port.port,
            },
        }
        answer = b""
        try:
            with helper.api() as sock:
                sock.sendall(json.dumps(request).encode())
                sock.shutdown(socket.SHUT_WR)
                while len(answer) < _LONGEST_ANSWER and (piece := sock.recv(_LONGEST_ANSWER)):
                    answer += piece
        except OSError as error:
            raise helper.failure(f"it can't be asked for {port}: {error}") from error
        if "error" in json.loads(answer or b'{"error": ""}'):
            # Somebody else was faster; the program doesn't tell.
            taken = OSError(errno.EADDRINUSE, "")
            raise _refused(port, port.host_port, taken)
