"""Looking at processes without waiting blindly."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the process IDs of a process's children, of all its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            found.extend(int(child) for child in (task / "children").read_text().split())
    return found


def ends(pid: int, seconds: float) -> bool:
    """Wait at most `seconds` for a process, anybody's child, to end; whether it has."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([fd], [], [], seconds)
        return bool(readable)
    finally:
        os.close(fd)


def kill(pid: int) -> None:
    """Kill a process that a test has started."""
    os.kill(pid, signal.SIGKILL)
