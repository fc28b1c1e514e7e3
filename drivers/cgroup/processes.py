"""Which process is which: a number alone may have gone to another one.

Owns the reading of proc_pid_stat(5). The start time, in ticks since the machine's, and the number
together are one process's alone.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from layerstore.drivers.system.readable import stat_of


class Process(NamedTuple):
    """What tells a process from all others, and whose child it is."""

    pid: int
    start_time: int
    parent: int


def process_of(pid: int | str) -> Process | None:
    """Return what there is to a number; None where there is no such process, or it has ended."""
    try:
        fields = stat_of(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[2] in (b"Z", b"X"):
        return None
    return Process(int(fields[0]), int(fields[21]), int(fields[3]))


def pid_namespace() -> int:
    """Return the number of the namespace in which this process's numbers count."""
    return os.stat("/proc/self/ns/pid").st_ino


def is_beneath(pid: int, ancestor: int) -> bool:
    """Whether a process is another one or was started by it, at however many removes."""
    while pid > 1:
        if pid == ancestor:
            return True
        found = process_of(pid)
        if found is None:
            return False
        pid = found.parent
    return False
