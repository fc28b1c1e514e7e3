"""Running the command on a terminal, and reading what it draws there."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from collections.abc import Sequence


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
