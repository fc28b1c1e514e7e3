"""What is to be run in a root file system and how, as plain data on its way to a process.

Owns its form on the way: JSON, because that process imports as little as it can.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

PASSED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGCONT,
)  # fmt: skip
"""Signals that whoever waits for a command passes on to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A directory or file of this machine to be seen in the root file system."""

    source: str
    """Absolute path."""
    target: str
    """Absolute path in the root file system, made where it is missing; not / nor in /proc."""
    read_only: bool = False
    of_image: bool = False
    """An image asked for it, and nobody knows what is in it: one on /etc doesn't keep the run's own
    files from being there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One command with everything around it."""

    root: str = ""
    """Absolute path of the root file system, which is there once that is mounted."""
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    """Made where it is missing."""
    user: str = ""
    """`user[:group]`, names as the root file system knows them or numbers; root by default."""
    volumes: tuple[Volume, ...] = ()
    host_network: bool = False
    hostname: str = ""
    read_only: bool = False
    """The root file system can't be written to."""
    init: bool = False
    """A first process passes signals on and reaps orphans."""
    terminal: bool = False
    """The command gets a terminal of its own, joined to stdin and stdout."""
    time_limit: float | None = None
    """Seconds after which it is killed; None is no limit."""

    def encode(self) -> bytes:
        """Return the form for the way."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def decode(data: bytes) -> RunSpec:
        """Read what encode has made."""
        fields = json.loads(data)
        fields["argv"] = tuple(fields["argv"])
        fields["volumes"] = tuple(Volume(**volume) for volume in fields["volumes"])
        return RunSpec(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended."""

    status: int
    """Its exit status; 128 and the signal's number where one killed it."""
    timed_out: bool = False
    """It was killed because its time was over."""
