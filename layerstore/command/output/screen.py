"""Lines that are drawn again and again: in their place on a terminal, else one below the other.

Owns the terminal's modes meanwhile, and leaves it as it was, however that ends. What is drawn has
nothing in it that a terminal would act on; that is for whoever draws it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from typing import Any

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _NO_LINE, _NO_REST = "\x1b[H", "\x1b[2K", "\x1b[J"
_ENDS = b"qQ\x04"


class Screen:
    """Where the lines are drawn; `in_place` on a terminal that can."""

    def __init__(self) -> None:
        self.in_place = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._keys = sys.stdin.fileno() if self.in_place and sys.stdin.isatty() else None
        self._drawn = False

    def show(self, lines: Sequence[str]) -> None:
        """Draw lines, on a terminal as many and as much of each as it has room for."""
        if self.in_place:
            width, height = shutil.get_terminal_size()
            cut = [_NO_LINE + line[:width] for line in lines[:height]]
            rest = "\n" + _NO_REST if len(cut) < height else ""
            sys.stdout.write(_HOME + "\n".join(cut) + rest)
        else:
            between = "\n" if self._drawn else ""
            sys.stdout.write(between + "".join(f"{line}\n" for line in lines))
        self._drawn = True
        sys.stdout.flush()

    def wait(self, seconds: float) -> bool:
        """Wait; returns False at once when somebody has typed that it is enough."""
        poll = select.poll()
        if self._keys is not None:
            poll.register(self._keys, select.POLLIN)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                typed = os.read(fd, 100)
                if not typed or set(typed) & set(_ENDS):
                    return False
        return True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the terminal for a `with` block; it is given back while the process is stopped."""
        if not self.in_place:
            yield
            return
        modes = termios.tcgetattr(self._keys) if self._keys is not None else None

        def stop(*_: Any) -> None:
            self._give_back(modes)
            os.kill(os.getpid(), signal.SIGSTOP)
            self._take()

        before = signal.signal(signal.SIGTSTP, stop)
        try:
            self._take()
            yield
        finally:
            self._give_back(modes)
            signal.signal(signal.SIGTSTP, before)

    def _take(self) -> None:
        if self._keys is not None:
            tty.setcbreak(self._keys, termios.TCSADRAIN)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _give_back(self, modes: list[Any] | None) -> None:
        if self._keys is not None and modes is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, modes)
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
