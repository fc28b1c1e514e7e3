"""What processes may use together, as plain data.

Owns the grammar of each, docker's. Sources: docker run, "Runtime constraints on resources"; the
kernel's cgroup-v2.rst for what they become.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.sizes import parse_size

Size = int | str
"""Bytes, or docker's text: `512m`."""
Rates = Mapping[str, Size]
"""By `read_bps`, `write_bps` (bytes a second), `read_iops`, `write_iops` (operations a second)."""
Io = Mapping[str, Size | Rates]
"""Rates of the device of the root file system, and others by the absolute path of a device."""

LEAST_MEMORY = 6 << 20
"""Bytes. docker's, too: with less no program starts."""
NO_BOUND = -1
_LEAST_CPUS, _MOST_CPUS = 0.01, 8192.0
"""The kernel's least quota is a millisecond, of a period of 100."""
_MOST_PIDS = 4 << 20
"""The kernel's PID_MAX_LIMIT, beyond which it bounds nothing."""
_LARGEST = 1 << 62


class DeviceLimit(NamedTuple):
    """Bounds of what is read from and written to one block device; None is no bound."""

    device: str = ""
    """Absolute path of the device, or of anything that lies on it; where the root file system of
    the run lies by default."""
    read_bps: int | None = None
    """Bytes a second."""
    write_bps: int | None = None
    read_iops: int | None = None
    """Operations a second."""
    write_iops: int | None = None


RATES = tuple(name for name in DeviceLimit._fields if name != "device")


class ResourceLimits(NamedTuple):
    """Bounds of one run; None is no bound."""

    memory: int | None = None
    """Bytes of memory, page cache included."""
    swap: int | None = 0
    """Bytes of swap beside a bounded memory."""
    cpus: float | None = None
    """How many CPUs' time it may take, fractions included."""
    pids: int | None = None
    """Processes and threads at once."""
    io: tuple[DeviceLimit, ...] = ()

    @property
    def controllers(self) -> frozenset[str]:
        """The kernel's controllers that keep them, by their names in cgroup v2."""
        wanted = {
            "memory": self.memory is not None,
            "cpu": self.cpus is not None,
            "pids": self.pids is not None,
            "io": bool(self.io),
        }
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)

    @staticmethod
    def from_plain(fields: Sequence[Any]) -> ResourceLimits:
        """Read what JSON has made of it."""
        memory, swap, cpus, pids, io = fields
        devices = tuple(DeviceLimit(*one) for one in io)
        return ResourceLimits(memory, swap, cpus, pids, devices)


def resource_limits(
    *,
    memory: Size | None = None,
    memory_swap: Size | None = None,
    cpus: float | None = None,
    pids: int | None = None,
    io: Io | None = None,
) -> ResourceLimits:
    """Return what a caller asks for. Raises InvalidArgument for what there can't be."""
    bytes_of_memory = None if memory is None else _memory(memory)
    if cpus is not None and not (math.isfinite(cpus) and _LEAST_CPUS <= cpus <= _MOST_CPUS):
        grammar = f"a run may take {_LEAST_CPUS:g} to {_MOST_CPUS:g} CPUs; for no bound, say none"
        raise InvalidArgument(str(cpus), grammar)
    if pids is not None and not 1 <= pids <= _MOST_PIDS:
        grammar = f"a run may have 1 to {_MOST_PIDS} processes; for no bound, say none"
        raise InvalidArgument(str(pids), grammar)
    return ResourceLimits(
        memory=bytes_of_memory,
        swap=_swap(bytes_of_memory, memory_swap),
        cpus=cpus,
        pids=pids,
        io=tuple(_device_limits(io or {})),
    )


def _size(size: Size) -> int:
    if isinstance(size, str):
        return parse_size(size)
    if not 0 < size <= _LARGEST:
        raise InvalidArgument(str(size), "a size is a number of bytes, more than 0")
    return int(size)


def _memory(size: Size) -> int:
    found = _size(size)
    if found < LEAST_MEMORY:
        raise InvalidArgument(str(size), f"memory is at least {LEAST_MEMORY >> 20} MiB")
    return found


def _swap(memory: int | None, together: Size | None) -> int | None:
    """Return the bytes of swap beside the memory, of which docker's option is the sum."""
    if together is None:
        return 0
    if together in (NO_BOUND, str(NO_BOUND)):
        return None
    found = _size(together)
    if memory is None or found < memory:
        grammar = "memory and swap together are no less than the memory, which has to be bounded"
        raise InvalidArgument(str(together), grammar)
    return found - memory


def _device_limits(io: Io) -> Iterable[DeviceLimit]:
    own: dict[str, Size] = {}
    for key, value in io.items():
        if isinstance(value, Mapping):
            if not key.startswith("/") or "\0" in key:
                raise InvalidArgument(key, "a device is an absolute path")
            yield _device_limit(key, value)
        else:
            own[key] = value
    if own:
        yield _device_limit("", own)


def _device_limit(device: str, rates: Rates) -> DeviceLimit:
    for name in rates:
        if name not in RATES:
            raise InvalidArgument(name, f"a bound of a device is one of {', '.join(RATES)}")
    sizes = {name: _size(value) for name, value in rates.items()}
    return DeviceLimit(
        device=device,
        read_bps=sizes.get("read_bps"),
        write_bps=sizes.get("write_bps"),
        read_iops=sizes.get("read_iops"),
        write_iops=sizes.get("write_iops"),
    )
