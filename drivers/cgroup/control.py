"""Bounds as the kernel's files take them, in either version of control groups.

Owns which file is told what. Sources: the kernel's cgroup-v2.rst; cgroup-v1/memory.rst, pids.rst
and blkio-controller.rst; scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping

from layerstore.drivers.cgroup.devices import numbers_of_device
from layerstore.drivers.cgroup.hierarchies import words_of
from layerstore.drivers.cgroup.limits import DeviceLimit, ResourceLimits
from layerstore.drivers.errors import DriverError

_PERIOD = 100_000
"""Microseconds over which CPU time is counted; the kernel's own default."""
_KEYS = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}
Setting = tuple[str, str]
"""A control file's path and what is written to it."""


def bound(
    unified: str | None, legacy: Mapping[str, str], limits: ResourceLimits, root: str
) -> None:
    """Have a group keep the limits; its directories are those of v2 and of v1's controllers.

    `root` lies where bounds of no named device count. Raises DriverError, with which nothing is
    half kept: the group is to be removed.
    """
    for controller in sorted(limits.controllers):
        if controller in legacy:
            settings = _LEGACY[controller](legacy[controller], limits, root)
        else:
            settings = _UNIFIED[controller](str(unified), limits, root)
        for path, text in settings:
            write(path, text)


def write(path: str, text: str) -> None:
    """Write a control file. Raises DriverError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise DriverError.from_os_error("set", path, error, f"to {text!r}") from error


def _memory(group: str, limits: ResourceLimits, _root: str) -> Iterator[Setting]:
    yield f"{group}/memory.max", str(limits.memory)
    swap = f"{group}/memory.swap.max"
    if _bounds_swap(swap):
        yield swap, "max" if limits.swap is None else str(limits.swap)


def _legacy_memory(group: str, limits: ResourceLimits, _root: str) -> Iterator[Setting]:
    yield f"{group}/memory.limit_in_bytes", str(limits.memory)
    both = f"{group}/memory.memsw.limit_in_bytes"
    if limits.swap is not None and _bounds_swap(both):
        yield both, str((limits.memory or 0) + limits.swap)


def _bounds_swap(path: str) -> bool:
    """Whether swap can be bounded; where there is none, nothing need be."""
    if os.path.exists(path):
        return True
    if len(words_of("/proc/swaps")) > len(("Filename", "Type", "Size", "Used", "Priority")):
        detail = "this kernel bounds no swap, of which this machine has some"
        raise DriverError("set", path, errno.EOPNOTSUPP, detail)
    return False


def _quota(limits: ResourceLimits) -> int:
    return round((limits.cpus or 0) * _PERIOD)


def _cpu(group: str, limits: ResourceLimits, _root: str) -> Iterator[Setting]:
    yield f"{group}/cpu.max", f"{_quota(limits)} {_PERIOD}"


def _legacy_cpu(group: str, limits: ResourceLimits, _root: str) -> Iterator[Setting]:
    yield f"{group}/cpu.cfs_period_us", str(_PERIOD)
    yield f"{group}/cpu.cfs_quota_us", str(_quota(limits))


def _pids(group: str, limits: ResourceLimits, _root: str) -> Iterator[Setting]:
    yield f"{group}/pids.max", str(limits.pids)


def _rates(limit: DeviceLimit) -> dict[str, int]:
    every = {name: getattr(limit, name) for name in _KEYS}
    return {name: rate for name, rate in every.items() if rate is not None}


def _io(group: str, limits: ResourceLimits, root: str) -> Iterator[Setting]:
    for limit in limits.io:
        device = numbers_of_device(limit.device or root)
        rates = " ".join(f"{_KEYS[name]}={rate}" for name, rate in _rates(limit).items())
        yield f"{group}/io.max", f"{device} {rates}"


def _legacy_io(group: str, limits: ResourceLimits, root: str) -> Iterator[Setting]:
    for limit in limits.io:
        device = numbers_of_device(limit.device or root)
        for name, rate in _rates(limit).items():
            yield f"{group}/blkio.throttle.{name}_device", f"{device} {rate}"


_UNIFIED = {"memory": _memory, "cpu": _cpu, "pids": _pids, "io": _io}
_LEGACY = {"memory": _legacy_memory, "cpu": _legacy_cpu, "pids": _pids, "io": _legacy_io}
