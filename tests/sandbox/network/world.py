"""A stretch of network that a test has for itself: an address, servers, and what came to them."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from layerstore.drivers.system import syscalls

T = TypeVar("T")
ADDRESS = "198.51.100.1"
"""Of an interface that leads nowhere, which a default route leads to. RFC 5737."""
_COMMANDS = (
    "link set lo up",
    "link add wire type veth peer name other_end",
    f"address add {ADDRESS}/24 dev wire",
    "link set wire up",
    "link set other_end up",
    "route add default via 198.51.100.2 dev wire",
)


class World:
    """A thread in a network namespace of its own; what is spawned in it is there, too."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._sockets: list[socket.socket] = []
        self.do(_settle)

    def do(self, what: Callable[[], T]) -> T:
        """Do something there, and return what that returns."""
        return self._thread.submit(what).result(60)

    def resolve_by(self, content: str, tmp_path: Path) -> None:
        """Have an /etc/resolv.conf there; what is mounted elsewhere from now on isn't seen."""
        (tmp_path / "resolv.conf").write_text(content)

        def mount() -> None:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE, "")
            resolver = str(Path("/etc/resolv.conf").resolve())
            syscalls.mount(str(tmp_path / "resolv.conf"), resolver, "", syscalls.MS_BIND, "")

        self.do(mount)

    def bound(self, kind: int, address: str, port: int) -> socket.socket:
        """Return a socket that is bound there, and listens where it can."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = self.do(lambda: socket.socket(family, kind))
        self._sockets.append(sock)
        sock.settimeout(30)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return sock

    def close(self) -> None:
        """Leave nothing of it."""
        for sock in self._sockets:
            sock.close()
        self._thread.shutdown()


def _settle() -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    for command in _COMMANDS:
        subprocess.run(["ip", *command.split()], check=True)


def answer(query: bytes, address: str) -> bytes:
    """Return what a resolver says to a query for a name's IPv4 address. RFC 1035, 4.1."""
    number, _, questions = struct.unpack_from("!HHH", query)
    end = query.index(b"\0", 12) + 5
    (kind,) = struct.unpack_from("!H", query, end - 4)
    found = kind == 1
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    header = struct.pack("!6H", number, 0x8180, questions, int(found), 0, 0)
    return header + query[12:end] + (record if found else b"")
