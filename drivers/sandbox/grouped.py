"""What the process beside a command has to do with the command's control group, and tells of it.

Owns the joining by the command's process, and what the group adds to the outcome.
"""

from __future__ import annotations

import contextlib
import os
import socket

from layerstore.drivers.cgroup.group import Group, enter
from layerstore.drivers.cgroup.processes import process_of
from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.spec import Outcome, Started
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import stream_socket


def join(entrances: list[int]) -> None:
    """Join the group, and see no other from then on; in the process that becomes the command.

    cgroup_namespaces(7): the group is the root of what /proc tells it. Raises DriverError.
    """
    try:
        enter(entrances)
        if os.path.exists("/proc/self/ns/cgroup"):
            syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    except OSError as error:
        raise DriverError.from_os_error("join", "the control group of the run", error) from error


def tell_started(alive: int, pid: int, pidfd: int) -> None:
    """Tell that the command is executed, with a descriptor of it; nobody may be there to hear."""
    found = process_of(pid)
    if found is None:
        return
    told = Started(pid=pid, start_time=found.start_time).encode()
    with stream_socket(os.dup(alive)) as to, contextlib.suppress(BrokenPipeError):
        socket.send_fds(to, [told], [pidfd])


def with_usage(outcome: Outcome, group: Group) -> Outcome:
    """Return an outcome with what the kernel has counted, where it counts. Raises DriverError."""
    if not group:
        return outcome
    used = group.totals()
    return outcome._replace(
        oom_killed=bool(used.oom_kills),
        peak_memory=used.peak_memory or outcome.peak_memory,
        cpu_seconds=outcome.cpu_seconds if used.cpu_seconds is None else used.cpu_seconds,
    )
