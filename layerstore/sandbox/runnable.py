"""What may be asked of a run. What may not is refused before anything is made or mounted.

Owns the making of a RunSpec from what a caller says. What depends on the root file system, such as
users and where links lead, is found out by the process that is in it.
"""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.sandbox.spec import RunSpec, Volume

Network = Literal["none", "host"]
_LONGEST_HOSTNAME = 64
"""Bytes. sethostname(2), HOST_NAME_MAX."""
_AS_GOOD_AS_NONE = 1e9
"""A time limit in seconds, some thirty years, beyond which clocks needn't count."""


def run_spec(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    workdir: str,
    user: str,
    volumes: Sequence[Volume],
    network: Network,
    hostname: str,
    read_only: bool,
    init: bool,
    terminal: bool,
    time_limit: float | None,
) -> RunSpec:
    """Return what `running.run` describes, but for where its root file system is.

    Raises InvalidArgument for what there can't be, TypeError for what is no sequence of words.
    """
    _check_words(argv)
    _check_environment(env or {})
    if not workdir.startswith("/") or "\0" in workdir:
        raise InvalidArgument(workdir, "a working directory begins with / and holds no NUL")
    for volume in volumes:
        _check_volume(volume)
    if network not in get_args(Network):
        raise InvalidArgument(network, f"a network is one of {', '.join(get_args(Network))}")
    if len(os.fsencode(hostname)) > _LONGEST_HOSTNAME or "\0" in hostname:
        raise InvalidArgument(
            hostname, f"a host name has at most {_LONGEST_HOSTNAME} bytes and holds no NUL"
        )
    return RunSpec(
        argv=tuple(argv),
        env=dict(env or {}),
        workdir=workdir,
        user=user,
        volumes=tuple(volumes),
        host_network=network == "host",
        hostname=hostname,
        read_only=read_only,
        init=init,
        terminal=terminal,
        time_limit=checked_time_limit(time_limit) if time_limit is not None else None,
    )


def hostname_of(name: str) -> str:
    """Return the host name that a command has by default, from its read-write layer's name."""
    return name[:_LONGEST_HOSTNAME]


def checked_time_limit(seconds: float) -> float:
    """Return a time limit as the clock counts it. Raises InvalidArgument."""
    if not 0 < seconds < math.inf:
        raise InvalidArgument(
            str(seconds),
            "a time limit is more than 0 seconds, and finite; for none, leave it out",
        )
    return float(min(seconds, _AS_GOOD_AS_NONE))


def _check_words(argv: Sequence[str]) -> None:
    if isinstance(argv, str | bytes):
        raise TypeError(f"a command is a sequence of words, not {argv!r}")
    for word in argv:
        if not isinstance(word, str):
            raise TypeError(f"a word of a command is a string, not {word!r}")
        if "\0" in word:
            raise InvalidArgument(word, "no word of a command may hold a NUL")
    if not argv or not argv[0]:
        raise InvalidArgument("", "a command has at least one word")


def _check_environment(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise InvalidArgument(name, "a variable's name is not empty and holds no = and no NUL")
        if "\0" in value:
            raise InvalidArgument(name, "a variable's value holds no NUL")


def cleaned_target(path: str) -> str:
    """Return a volume's target without what says nothing in it, such as `..` of the root."""
    return posixpath.normpath(f"/{path.lstrip('/')}")


def wrong_target(target: str) -> str | None:
    """Return why there can't be a volume at a cleaned path, or None."""
    if "\0" in target:
        return "a path holds no NUL"
    if target == "/":
        return "a volume's target can't be /"
    if target == "/proc" or target.startswith("/proc/"):
        return "a volume's target can't be /proc, nor in it"
    return None


def _check_volume(volume: Volume) -> None:
    both = f"{volume.source}:{volume.target}"
    if not (volume.source.startswith("/") and volume.target.startswith("/")) or "\0" in both:
        raise InvalidArgument(both, "a volume's paths begin with / and hold no NUL")
    if (why := wrong_target(cleaned_target(volume.target))) is not None:
        raise InvalidArgument(both, why)
