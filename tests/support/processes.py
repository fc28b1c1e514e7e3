"""Looking at processes without waiting blindly."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from layerstore.drivers.system.proc_children import children_of


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


def stop(pid: int) -> None:
    """Stop a child of this process, and wait until it is, which may take it a moment."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def kill_children() -> None:
    """Kill all children of this process, so that the next jobs wait for new ones."""
    for pid in children_of(os.getpid()):
        kill(pid)
        assert ends(pid, 60)


def wait_until_handled(pid: int, number: int) -> None:
    """Wait until a process has a handler for a signal of its own."""
    bit = 1 << (number - 1)
    deadline = time.monotonic() + 60
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) & bit:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)
