"""Looking at processes without waiting blindly."""

from __future__ import annotations

import os
import select
import signal


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
