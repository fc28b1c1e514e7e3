"""The process that owns roots, as tests see it: one in a session, started when it is needed.

Owns that process and its end, and looks whether it keeps anything of a root that it has closed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from layerstore.drivers.errors import from_wire
from layerstore.drivers.system.proc_children import children_of
from tests.support.processes import ends, kill
from tests.support.waiting import wait_until

_REPOSITORY = Path(__file__).parents[3]


class Kept(NamedTuple):
    """What a process has."""

    descriptors: int
    threads: int
    children: int


class Owners:
    """Opens and closes roots in another process."""

    def __init__(self) -> None:
        self._running: tuple[Connection[Any, Any], int] | None = None
        self._own: Kept | None = None
        """What it has when it has no root."""
        self._open: set[str] = set()

    def open(self, root: str, options: dict[str, object]) -> None:
        """Have a root opened. Raises what LayerStore does."""
        self._ask("open", root, options)
        self._open.add(root)

    def close(self, root: str) -> None:
        """Have a root closed whose mounts whoever was attached has taken away, or wants kept."""
        if root in self._open:
            self._open.remove(root)
            self._ask("close", root, {"keep_mounts": True})

    def check(self) -> None:
        """Close what is still open; assert that nothing is left of it in the process."""
        for root in list(self._open):
            self.close(root)
        if self._running is not None:
            wait_until(lambda: self._kept() == self._own)

    def end(self) -> None:
        """End the process. Idempotent."""
        if self._running is None:
            return
        (asked, pid), self._running = self._running, None
        asked.close()
        if not ends(pid, 30):
            kill(pid)
            raise AssertionError("the process that owns roots didn't end")

    def _ask(self, what: str, root: str, options: dict[str, object]) -> None:
        asked, _ = self._running or self._start()
        asked.send((what, root, options))
        error = asked.recv()
        if error is not None:
            raise from_wire(error)

    def _start(self) -> tuple[Connection[Any, Any], int]:
        ours, theirs = socket.socketpair()
        with theirs:
            subprocess.run(
                [sys.executable, "-m", "tests.support.ways.owning", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt of the tests is theirs alone
                check=True,
            )
        asked: Connection[Any, Any] = Connection(ours.detach())
        self._running = (asked, asked.recv())
        self._own = self._kept()
        return self._running

    def _kept(self) -> Kept:
        assert self._running is not None
        pid = self._running[1]
        return Kept(
            len(os.listdir(f"/proc/{pid}/fd")),
            len(os.listdir(f"/proc/{pid}/task")),
            len(children_of(pid)),
        )
