"""What the processes of a group use and have used, as the kernel counts it.

Owns which file tells what, in either version. Sources: the kernel's cgroup-v2.rst,
cgroup-v1/memory.rst, cpuacct.rst, pids.rst and blkio-controller.rst; docker's stats for what of the
page cache counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from layerstore.drivers.cgroup.hierarchies import number_of, numbers_of, words_of

_UNLIMITED = 1 << 62
"""v1 says so by a number that is as large as a page allows."""
_PEAK, _LEGACY_PEAK = "memory.peak", "memory.max_usage_in_bytes"


class Usage(NamedTuple):
    """Of all processes of a run together; None is what this machine doesn't count."""

    memory: int | None = None
    """Bytes now, without page cache that is for the taking."""
    memory_limit: int | None = None
    """Bytes; None also where there is no bound."""
    peak_memory: int | None = None
    """The most bytes at once until now, page cache included."""
    cpu_seconds: float | None = None
    pids: int | None = None
    """Processes and threads now."""
    pids_limit: int | None = None
    read_bytes: int | None = None
    """From block devices."""
    written_bytes: int | None = None
    oom_kills: int | None = None
    """How many of them were killed because there was no memory left for them."""


def usage_of(unified: str | None, legacy: Mapping[str, str]) -> Usage:
    """Return it for a group, whose directories are those of v2 and of v1's controllers.

    Raises OSError where the group is gone.
    """
    memory = _legacy_memory(legacy["memory"]) if "memory" in legacy else _memory(unified)
    read, written = _legacy_io(legacy["io"]) if "io" in legacy else _io(unified)
    pids = legacy.get("pids", unified)
    current = number_of(f"{pids}/pids.current") if pids else None
    if current is None and unified:
        current = len(words_of(f"{unified}/cgroup.threads"))
    return Usage(
        **memory,
        cpu_seconds=_cpu_seconds(unified, legacy),
        pids=current,
        pids_limit=number_of(f"{pids}/pids.max") if pids else None,
        read_bytes=read,
        written_bytes=written,
    )


def totals_of(unified: str | None, legacy: Mapping[str, str]) -> Usage:
    """Return of it what a run's outcome tells: its peak of memory, its CPU time, and kills.

    What it uses now takes the kernel long to sum up. Raises OSError where the group is gone.
    """
    if "memory" in legacy:
        peak = number_of(f"{legacy['memory']}/{_LEGACY_PEAK}")
    else:
        peak = number_of(f"{unified}/{_PEAK}") if unified else None
    return Usage(
        peak_memory=peak,
        cpu_seconds=_cpu_seconds(unified, legacy),
        oom_kills=oom_kills_of(unified, legacy),
    )


def oom_kills_of(unified: str | None, legacy: Mapping[str, str]) -> int | None:
    """Return what Usage has of that name. Raises OSError where the group is gone."""
    if "memory" in legacy:
        return _legacy_oom_kills(legacy["memory"])
    return _oom_kills(unified) if unified else None


def _oom_kills(group: str) -> int | None:
    return numbers_of(f"{group}/memory.events").get("oom_kill")


def _legacy_oom_kills(group: str) -> int | None:
    return numbers_of(f"{group}/memory.oom_control").get("oom_kill")


def _memory(group: str | None) -> dict[str, int | None]:
    if group is None or (current := number_of(f"{group}/memory.current")) is None:
        return {}
    idle = numbers_of(f"{group}/memory.stat").get("inactive_file", 0)
    return {
        "memory": max(current - idle, 0),
        "memory_limit": number_of(f"{group}/memory.max"),
        "peak_memory": number_of(f"{group}/{_PEAK}"),
        "oom_kills": _oom_kills(group),
    }


def _legacy_memory(group: str) -> dict[str, int | None]:
    current = number_of(f"{group}/memory.usage_in_bytes") or 0
    idle = numbers_of(f"{group}/memory.stat").get("total_inactive_file", 0)
    limit = number_of(f"{group}/memory.limit_in_bytes")
    return {
        "memory": max(current - idle, 0),
        "memory_limit": limit if limit is not None and limit < _UNLIMITED else None,
        "peak_memory": number_of(f"{group}/{_LEGACY_PEAK}"),
        "oom_kills": _legacy_oom_kills(group),
    }


def _cpu_seconds(unified: str | None, legacy: Mapping[str, str]) -> float | None:
    if unified:  # it is counted without a controller
        microseconds = numbers_of(f"{unified}/cpu.stat").get("usage_usec")
        return None if microseconds is None else microseconds / 1e6
    if "cpuacct" in legacy:
        nanoseconds = number_of(f"{legacy['cpuacct']}/cpuacct.usage")
        return None if nanoseconds is None else nanoseconds / 1e9
    return None


def _io(group: str | None) -> tuple[int | None, int | None]:
    words = words_of(f"{group}/io.stat") if group else []
    if not words and (group is None or "io" not in words_of(f"{group}/cgroup.controllers")):
        return None, None
    pairs = [word.partition("=") for word in words]
    read = sum(int(number) for name, _, number in pairs if name == "rbytes")
    return read, sum(int(number) for name, _, number in pairs if name == "wbytes")


def _legacy_io(group: str) -> tuple[int | None, int | None]:
    """Read lines of a device, an operation and a number; the last line is a sum."""
    words = words_of(f"{group}/blkio.throttle.io_service_bytes")
    pairs = list(itertools.pairwise(words))
    read = sum(int(number) for name, number in pairs if name == "Read")
    return read, sum(int(number) for name, number in pairs if name == "Write")
