"""Looking at processes without waiting blindly, and at the memory that they take."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
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


def status_of(pid: int) -> dict[str, str]:
    """Return what the kernel tells of a process, by field. proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Kill a process that a test has started."""
    os.kill(pid, number)


def stop(pid: int) -> None:
    """Stop a child of this process, and wait until it is, which may take it a moment."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def kill_children(number: int = signal.SIGKILL) -> None:
    """Kill all children of this process, so that the next jobs wait for new ones."""
    for pid in children_of(os.getpid()):
        kill(pid, number)
        assert ends(pid, 60)


def nobodys_child(command: list[str], log: Path) -> int:
    """Start what outlives a test, and return its process's number; what it says goes to a log.

    It isn't a child of this process: those are a store's, and tests do with them as they like.
    """
    script = 'exec 3>&1 > "$0" 2>&1 < /dev/null; "$@" 3>&- & echo $! >&3'
    started = subprocess.run(
        ["/bin/sh", "-c", script, log, *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        start_new_session=True,
    )
    return int(started.stdout)


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


def reset_peak() -> int:
    """Begin to measure what this process and its children take at most; returns what they do now.

    proc(5): /proc/pid/clear_refs; bytes of memory that is resident.
    """
    now = 0
    for pid in (os.getpid(), *children_of(os.getpid())):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        now += _resident(pid, "VmRSS")
    return now


def peak() -> int:
    """Return the most that they took since then, each at its own time."""
    return sum(_resident(pid, "VmHWM") for pid in (os.getpid(), *children_of(os.getpid())))


def _resident(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) << 10 if found is not None else 0
