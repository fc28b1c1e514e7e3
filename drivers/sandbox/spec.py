"""What is to be run in a root file system and how, as plain data on its way to a process.

Owns its form on the way: JSON, because that process imports as little as it can.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from layerstore.drivers.cgroup.limits import ResourceLimits
from layerstore.drivers.sandbox.network.plan import PrivateNetwork

PASSED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGCONT,
)  # fmt: skip
"""Signals that whoever waits for a command passes on to it."""


class Volume(NamedTuple):
    """A directory or file of this machine to be seen in the root file system."""

    source: str
    """Absolute path."""
    target: str
    """Absolute path in the root file system, made where it is missing; not / nor in /proc."""
    read_only: bool = False
    of_image: bool = False
    """An image asked for it, and nobody knows what is in it: one on /etc doesn't keep the run's own
    files from being there."""


class RunSpec(NamedTuple):
    """One command with everything around it."""

    argv: tuple[str, ...]
    root: str = ""
    """Absolute path of the root file system, which is there once that is mounted."""
    env: Mapping[str, str] = MappingProxyType({})
    workdir: str = "/"
    """Made where it is missing."""
    user: str = ""
    """`user[:group]`, names as the root file system knows them or numbers; root by default."""
    volumes: tuple[Volume, ...] = ()
    host_network: bool = False
    private_network: PrivateNetwork | None = None
    """One of its own with a way out; it has none of the machine's then."""
    hostname: str = ""
    read_only: bool = False
    """The root file system can't be written to."""
    init: bool = False
    """A first process passes signals on and reaps orphans."""
    hold: bool = False
    """There is no command: a first process keeps the container for those that join it."""
    terminal: bool = False
    """The command gets a terminal of its own, joined to stdin and stdout."""
    time_limit: float | None = None
    """Seconds after which it is killed; None is no limit."""
    limits: ResourceLimits = ResourceLimits()
    """What all of its processes may use together."""
    id_map: str = ""
    """Which users of this machine its own are, as IdMap has it: then it has a user namespace."""

    def encode(self) -> bytes:
        """Return the form for the way."""
        return json.dumps(self._replace(env=dict(self.env))).encode()

    @staticmethod
    def read(fd: int) -> RunSpec:
        """Read what a file has, from its beginning; whoever else has it may do so, too."""
        return RunSpec.decode(os.pread(fd, os.fstat(fd).st_size, 0))

    @staticmethod
    def decode(data: bytes) -> RunSpec:
        """Read what encode has made."""
        fields, _ = _json.raw_decode(data.decode("ascii"))
        for place, made in _NESTED:
            fields[place] = made(fields[place])
        return RunSpec(*fields)


def _volumes(plain: Sequence[Sequence[Any]]) -> tuple[Volume, ...]:
    return tuple(Volume(*fields) for fields in plain)


_json = json.JSONDecoder()
_NESTED: list[tuple[int, Callable[[Any], object]]] = [
    (RunSpec._fields.index("argv"), tuple),
    (RunSpec._fields.index("volumes"), _volumes),
    (RunSpec._fields.index("private_network"), PrivateNetwork.from_plain),
    (RunSpec._fields.index("limits"), ResourceLimits.from_plain),
]
"""Where JSON has a list, and what that stands for."""


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    """Its exit status; 128 and the signal's number where one killed it."""
    timed_out: bool = False
    """It was killed because its time was over."""
    oom_killed: bool = False
    """One of its processes was killed because there was no memory left for them."""
    peak_memory: int | None = None
    """Bytes that all of them had at most."""
    cpu_seconds: float | None = None
    """What all of them took of CPUs."""
    network_lost: str = ""
    """How the program that its packets pass ended, where it did before the command."""


class Started(NamedTuple):
    """What whoever started a command may know of it while it runs."""

    pid: int
    """Of the first process in the container, as the machine numbers it."""
    start_time: int
    """Of the same, in ticks since the machine's."""

    def encode(self) -> bytes:
        """Return the form for the way."""
        return json.dumps(self).encode()

    @staticmethod
    def decode(data: bytes) -> Started:
        """Read what encode has made."""
        return Started(*json.loads(data))
