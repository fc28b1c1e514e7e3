"""Running the command on a terminal, and reading what it draws there."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Any


def drawn(command: Sequence[str]) -> tuple[bytes, bytes]:
    """Run a command to its end; return its standard output, and its standard error on a terminal.

    Raises CalledProcessError where it fails.
    """
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is closed: all was read
            while piece := screen.read(4096):
                shown += piece
    return done.stdout, shown


class Terminal:
    """A program on a terminal, for somebody who reads what is on the screen."""

    def __init__(self, command: list[str]) -> None:
        ours, self._theirs = pty.openpty()
        self._screen = ours
        self._modes = self.modes()
        self.process = subprocess.Popen(
            command,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
        )
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def wait_for(self, text: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, self.shown
            ready, _, _ = select.select([self._screen], [], [], left)
            if ready:
                self.shown += os.read(self._screen, 4096).decode(errors="replace")

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def is_as_before(self) -> bool:
        """Whether the terminal's modes are those that it had in the beginning."""
        return self.modes() == self._modes

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)
        os.close(self._theirs)
