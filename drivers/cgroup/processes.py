"""Which process is which: a number alone may have gone to another one.

Owns the reading of proc_pid_stat(5). The start time, in ticks since the machine's, and the number
together are one process's alone.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from layerstore.drivers.system.readable import content_of


class Process(NamedTuple):
    """What tells a process from all others, and whose child it is."""

    pid: int
    start_time: int
    parent: int


def process_of(pid: int | str) -> Process | None:
    """Return what there is to a number; None where there is no such process, or it has ended."""
    try:
        content = content_of(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name before it is the process's to choose, brackets and all.
    fields = content.rpartition(b")")[2].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(int(content.split(b" ", 1)[0]), int(fields[19]), int(fields[1]))


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
