"""What may be asked of a run. What may not is refused before anything is made or mounted.

Owns the making of a RunSpec from what a caller says. What depends on the root file system, such as
users and where links lead, is found out by the process that is in it.
"""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, get_args

from layerstore.drivers.cgroup.limits import Io, resource_limits
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.sandbox.spec import RunSpec, Volume
from layerstore.drivers.userns.id_map import IdMap
from layerstore.sandbox.publishing import private_network, refuse_without_network

Network = Literal["none", "host", "private"]
_LONGEST_HOSTNAME = 64
"""Bytes. sethostname(2), HOST_NAME_MAX."""
_AS_GOOD_AS_NONE = 1e9
"""A time limit in seconds, some thirty years, beyond which clocks needn't count."""


class RunOptions(TypedDict, total=False):
    """What `run` and `start` may be told of a command's surroundings, each by its name."""

    env: Mapping[str, str] | None
    """Variables, beside PATH, HOME and HOSTNAME."""
    workdir: str
    """Absolute path in the root file system, made where it is missing; `/` by default."""
    user: str
    """`user[:group]`, names as the root file system knows them or numbers; root by default."""
    volumes: Sequence[Volume]
    """What of this machine is seen in it."""
    network: Network
    """`none`, a loopback interface only, is the default; `host` is this machine's; `private` is one
    of its own with a way out, by slirp4netns or pasta."""
    publish: Sequence[str]
    """Ports of this machine that lead into a private network, as docker's -p says them, such as
    `8080:80`, `127.0.0.1:5353:53/udp` or `80`, for which `Running.ports` tells which it has got."""
    dns: Sequence[str]
    """IPv4 addresses of a private network's resolvers; by default this machine's count."""
    hostname: str
    """At most 64 bytes; by default, for `run`, the read-write layer's name."""
    read_only: bool
    """Whether nothing in the root file system can be changed."""
    init: bool
    """Whether a first process passes signals on and reaps orphans."""
    time_limit: float | None
    """Seconds, more than 0, after which the command is killed; None is no limit."""
    memory: int | str | None
    """The most memory of all of its processes: bytes, or docker's text as `512m`; at least 6 MiB.
    Where they want more, the kernel kills one (`Finished.oom_killed`)."""
    memory_swap: int | str | None
    """The most memory and swap together; -1 for any amount of swap. No swap by default."""
    cpus: float | None
    """How many CPUs' time they take, fractions included."""
    pids: int | None
    """The most processes and threads at once."""
    io: Io | None
    """The most that is read and written: `read_bps` and `write_bps` (bytes a second, or docker's
    text as `10m`), `read_iops` and `write_iops` (operations a second), for the device that the root
    file system lies on; and mappings of these by the absolute path of other devices."""
    id_map: str
    """Which users of this machine its own are, as IdMap's text: then it has a user namespace. By
    default, for `run`, the read-write layer's."""


def run_spec(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    workdir: str = "/",
    user: str = "",
    volumes: Sequence[Volume] = (),
    network: Network = "none",
    publish: Sequence[str] = (),
    dns: Sequence[str] = (),
    hostname: str = "",
    read_only: bool = False,
    init: bool = False,
    terminal: bool = False,
    time_limit: float | None = None,
    memory: int | str | None = None,
    memory_swap: int | str | None = None,
    cpus: float | None = None,
    pids: int | None = None,
    io: Io | None = None,
    id_map: str = "",
) -> RunSpec:
    """Return what `running.run` describes, but for where its root file system is.

    Raises InvalidArgument for what there can't be, TypeError for what is no sequence of words.
    """
    _check_words(argv)
    check_kinds(
        env=env,
        volumes=volumes,
        network=network,
        publish=publish,
        dns=dns,
        workdir=workdir,
        user=user,
        hostname=hostname,
        id_map=id_map,
        read_only=read_only,
        init=init,
        terminal=terminal,
        time_limit=time_limit,
        memory=memory,
        memory_swap=memory_swap,
        cpus=cpus,
        pids=pids,
        io=io,
    )
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
    if network == "private":
        private = private_network(publish, dns)
    else:
        private = None
        refuse_without_network(network, publish, dns)
    return RunSpec(
        argv=tuple(argv),
        env=dict(env or {}),
        workdir=workdir,
        user=user,
        volumes=tuple(volumes),
        host_network=network == "host",
        private_network=private,
        hostname=hostname,
        read_only=read_only,
        init=init,
        terminal=terminal,
        time_limit=checked_time_limit(time_limit) if time_limit is not None else None,
        limits=resource_limits(memory=memory, memory_swap=memory_swap, cpus=cpus, pids=pids, io=io),
        id_map=_checked_map(id_map, network),
    )


def _checked_map(id_map: str, network: Network) -> str:
    """Return a map's text. Raises InvalidArgument for one that no command can have."""
    if not id_map:
        return ""
    found = IdMap.parse(id_map)
    if found.user(0) is None or found.group(0) is None:
        raise InvalidArgument(id_map, "a run wants a user and a group 0 inside")
    check_network_of_mapped(network)
    return str(found)


def check_network_of_mapped(network: Network) -> None:
    """Raise InvalidArgument for a network that no command with a map of IDs can have."""
    if network == "host":
        # docker: "cannot share the host's network namespace when user namespaces are enabled".
        raise InvalidArgument(network, "a command with a map of IDs has a network of its own")


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


_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("env", "io"), ("a mapping", (dict, Mapping))),
    **dict.fromkeys(("publish", "dns"), ("a sequence of strings", (tuple, list, Sequence))),
    "volumes": ("a sequence of Volumes", (tuple, list, Sequence)),
    **dict.fromkeys(("network", "workdir", "user", "hostname", "id_map"), ("a string", (str,))),
    **dict.fromkeys(("read_only", "init", "terminal"), ("True or False", (bool,))),
    **dict.fromkeys(("time_limit", "cpus"), ("a number", (int, float))),
    **dict.fromkeys(("memory", "memory_swap"), ("a whole number or a string", (int, str))),
    "pids": ("a whole number", (int,)),
}
_ITEMS = {"publish": str, "dns": str, "volumes": Volume}
_MAY_BE_NONE = {"env", "io", "time_limit", "cpus", "memory", "memory_swap", "pids"}


def check_kinds(**options: object) -> None:
    """Raise TypeError for an option that isn't of its kind, with its name.

    A slip that works by chance is one too: text where a sequence is wanted, `init="no"`.
    """
    for name, value in options.items():
        told, kinds = _KINDS[name]
        if value is None and name in _MAY_BE_NONE:
            continue
        good = isinstance(value, kinds) and (kinds == (bool,) or not isinstance(value, bool))
        if good and isinstance(value, Sequence) and name in _ITEMS:
            good = not isinstance(value, str | bytes) and all(
                isinstance(one, _ITEMS[name]) for one in value
            )
        if not good:
            raise TypeError(f"{name} is {told}, not {value!r}")


def _check_environment(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"variables and their values are strings, not {name!r}={value!r}")
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
    if not isinstance(volume.source, str) or not isinstance(volume.target, str):
        raise TypeError(f"a volume's paths are strings, not {volume!r}")
    both = f"{volume.source}:{volume.target}"
    if not (volume.source.startswith("/") and volume.target.startswith("/")) or "\0" in both:
        raise InvalidArgument(both, "a volume's paths begin with / and hold no NUL")
    if (why := wrong_target(cleaned_target(volume.target))) is not None:
        raise InvalidArgument(both, why)
