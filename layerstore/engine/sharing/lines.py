"""Lines: sockets to a store's owner, each for one thread at a time that waits for its own answer.

Owns them, and how one waits. Whoever asks by a line reads its answer itself, so that no other
thread of its process has to run for it; where others are busy each turn for the interpreter's lock
costs a switch interval of 5 ms. So the answer is looked for without letting go of the lock, before
it is waited for: for a moment, or longer by a caller that has lost a turn lately. A line is used up
by whoever doesn't hear its answer: what was asked there is undone, and the line is closed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from layerstore.drivers.errors import CallTimeout
from layerstore.drivers.system.frames import BadFrame, EndOfFrames, pack_frame, unpack_frames
from layerstore.drivers.work import OwnedDescriptor
from layerstore.engine.sharing.wire import MAX_ANSWER

if TYPE_CHECKING:
    from layerstore.drivers.system.keeping import Line

_MOST_LINES = 16
_PROCESSORS = len(os.sched_getaffinity(0))
_GLANCES_FOR = 0.0001
"""Seconds that an answer is looked for by whoever alone asks."""
_LOOKS_FOR = 0.0045
"""Seconds that an answer is looked for where waiting has cost a turn lately, which is seen by its
taking longer."""
_AFTER = 1.0
"""Seconds after such a wait in which answers are looked for."""


class Lines:
    """The lines to one owner."""

    def __init__(self) -> None:
        self._idle: deque[Line] = deque()
        self._to_come = deque(range(_MOST_LINES))
        """One for each line that may still be made."""
        self._all: dict[Line, None] = {}
        self._look_until = 0.0
        """When answers are looked for no more, in seconds of the monotonic clock."""
        self._ended = False

    def take(self) -> Line | None:
        """Return a line that nobody uses, if there is one."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def new(self) -> tuple[Line, OwnedDescriptor] | None:
        """Return one more line and its other end, for the owner; None for one too many."""
        try:
            self._to_come.pop()
        except IndexError:
            return None
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # no descriptor left: there are other ways to ask
            self._to_come.append(0)
            return None
        # Only here: a short command, which makes none, is quicker without ctypes.
        from layerstore.drivers.system.keeping import Line  # noqa: PLC0415

        line = Line(ours)
        self._all[line] = None
        if self._ended:
            line.shut()
        return line, OwnedDescriptor(theirs.detach())

    def give_back(self, line: Line) -> None:
        """Have a line used by others again."""
        self._idle.append(line)
        if self._ended:
            self.close()

    def drop(self, line: Line, abandoned: int | None) -> None:
        """Close a line, and have undone what was asked there by a number."""
        if abandoned is not None:
            # An owner that has ended needn't hear it, and one that can't hears it otherwise, too.
            with contextlib.suppress(EndOfFrames, BadFrame):
                line.send(pack_frame(["abandon", abandoned]))
        self._all.pop(line, None)
        line.close()
        self._to_come.append(0)

    def close(self) -> None:
        """End all of them; those that are used are closed as they are given back. Idempotent."""
        self._ended = True
        for line in list(self._all):
            line.shut()
        while (idle := self.take()) is not None:
            self._all.pop(idle, None)
            idle.close()

    def hear(
        self, line: Line, operation: str, timeout: float | None, deadline: float | None
    ) -> object:
        """Return the next frame. Raises EndOfFrames, BadFrame, CallTimeout."""
        received = bytearray()
        begun = time.monotonic()
        looking = begun < self._look_until
        until = begun + (_LOOKS_FOR if looking else self._glance())
        while True:
            found = line.receive(until)
            if found is None:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                if not line.wait(left):
                    raise CallTimeout(operation, timeout or 0.0)
                continue
            received += found
            frames = unpack_frames(received, MAX_ANSWER)
            if frames:
                self._learn(begun, looked=looking)
                return frames[0]

    def _glance(self) -> float:
        """Return for how many seconds an answer is looked for before waiting.

        To wait and be woken takes longer than a short answer, where there is a processor for both.
        """
        alone = len(self._idle) + len(self._to_come) == _MOST_LINES - 1
        return _GLANCES_FOR if alone and _PROCESSORS > 1 else 0.0

    def _learn(self, begun: float, *, looked: bool) -> None:
        now = time.monotonic()
        if looked or now - begun > _LOOKS_FOR:
            self._look_until = now + _AFTER
