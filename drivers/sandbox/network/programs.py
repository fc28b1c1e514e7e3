"""The programs that a run's packets can pass: where they are, and with what words they are started.

Owns what differs between them. Sources: slirp4netns(1) of 1.2, pasta(1) of 2023.

slirp4netns goes first. Debian's pasta of 2023 is the faster one, but wants a default route on this
machine, isn't given ports below 1024, and keeps CAP_SYS_ADMIN in its user namespace, where
slirp4netns keeps nothing but CAP_NET_BIND_SERVICE.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from layerstore.drivers.sandbox.network import plan

SLIRP, PASTA = "slirp4netns", "pasta"
PACKAGES = {SLIRP: "slirp4netns", PASTA: "passt"}
"""Debian's packages of the programs, the preferred one first."""
_PLACES = "/usr/local/bin:/usr/bin:/usr/sbin"


def find_program() -> str | None:
    """Return the absolute path of the first one that is installed, or None."""
    path = f"{os.environ.get('PATH', '')}:{_PLACES}"
    for name in PACKAGES:
        found = shutil.which(name, path=path)
        if found is not None:
            return os.path.abspath(found)
    return None


def is_pasta(program: str) -> bool:
    """Whether it is pasta, by its name."""
    return os.path.basename(program) == PASTA


def slirp_words(
    program: str, *, namespace: str, ready: int, until: int, api: str | None, forward: bool
) -> Sequence[str]:
    """Return its command line.

    It enters the network namespace at the path `namespace`, writes to the descriptor `ready`, ends
    once `until` has an event, and is told ports over the socket `api`. With `forward` the address
    RESOLVER is this machine's resolver.
    """
    return (
        program, "--configure", f"--mtu={plan.MTU}", f"--ready-fd={ready}", f"--exit-fd={until}",
        "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp",
        *(() if api is None else (f"--api-socket={api}",)),
        *(() if forward else ("--disable-dns",)),
        "--netns-type=path", namespace, plan.INTERFACE,
    )  # fmt: skip


def pasta_words(
    program: str, *, namespace: str, ready: str, ports: Sequence[plan.PublishedPort], forward: bool
) -> Sequence[str]:
    """Return its command line. It writes to the path `ready` once it is.

    Nothing of this machine's is to be had inside that wasn't asked for: by default it passes on
    whatever listens on either loopback.
    """
    published = {"tcp": ["none"], "udp": ["none"]}
    for port in ports:
        kind = published[port.protocol]
        if kind == ["none"]:
            kind.clear()
        kind.append(f"{port.address}/{port.host_port}:{port.port}")
    return (
        program, "--foreground", "--quiet", "--ipv4-only", "--runas", "0:0", "--config-net",
        "--no-map-gw", "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra",
        "--address", plan.ADDRESS, "--netmask", str(plan.PREFIX), "--gateway", plan.GATEWAY,
        "--mtu", str(plan.MTU), "--ns-ifname", plan.INTERFACE, "--pid", ready,
        *(("--dns-forward", plan.RESOLVER) if forward else ()),
        *(word for value in published["tcp"] for word in ("--tcp-ports", value)),
        *(word for value in published["udp"] for word in ("--udp-ports", value)),
        "--tcp-ns", "none", "--udp-ns", "none", "--netns-only", "--netns", namespace,
    )  # fmt: skip
