"""Lines: sockets to the engine, each for one thread at a time that waits for its own answer.

Owns them, and how one waits. Whoever asks by a line reads its answer itself, so that no other
thread of the embedder has to run for it; where others are busy each turn for the interpreter's lock
costs a switch interval of 5 ms. So a caller that has lost one lately looks for its answer for a
while without letting go of the lock, before it waits. A line is used up by whoever doesn't hear its
answer: what was asked there is undone, and the line is closed.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque

from layerstore.drivers.errors import CallTimeout
from layerstore.drivers.system.frames import BadFrame, EndOfFrames, pack_frame, unpack_frames
from layerstore.drivers.system.keeping import Inbox, send_at_once
from layerstore.drivers.work import OwnedDescriptor
from layerstore.engine.sharing.wire import MAX_ANSWER

_MOST_LINES = 16
_INBOX = 1 << 16
_LOOKS_FOR = 0.002
"""Seconds that an answer is looked for without letting go of the lock."""
_LOST = 0.003
"""Seconds to wait for an answer that tell of a busy thread, if the engine isn't slow itself."""
_AFTER = 1.0
"""Seconds after such a wait in which answers are looked for."""


class Line:
    """A socket to the engine."""

    __slots__ = ("_inbox", "_socket")

    def __init__(self, sock: OwnedDescriptor) -> None:
        self._socket = sock
        self._inbox = Inbox(_INBOX)

    def send(self, frame: bytes) -> None:
        """Send a small frame. Raises EndOfFrames."""
        try:
            sent = send_at_once(self._socket.fileno(), frame)
        except OSError as error:
            raise EndOfFrames from error
        if sent < len(frame):
            raise BadFrame("a line took no whole frame")

    def receive(self, until: float) -> bytes | None:
        """Return what comes, looking for it until a time of the monotonic clock; then None.

        Raises EndOfFrames.
        """
        while True:
            try:
                found = self._inbox.receive_at_once(self._socket.fileno())
            except OSError as error:
                raise EndOfFrames from error
            if found == b"":
                raise EndOfFrames
            if found is not None or time.monotonic() >= until:
                return found

    def wait(self, seconds: float | None) -> bool:
        """Wait until something comes; whether it did in time."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Lines:
    """The lines to one engine."""

    def __init__(self) -> None:
        self._idle: deque[Line] = deque()
        self._to_come = deque(range(_MOST_LINES))
        """One for each line that may still be made."""
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
        """Return one more line and its other end, for the engine; None for one too many."""
        try:
            self._to_come.pop()
        except IndexError:
            return None
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # no descriptor left: there are other ways to ask
            self._to_come.append(0)
            return None
        return Line(OwnedDescriptor(ours.detach())), OwnedDescriptor(theirs.detach())

    def give_back(self, line: Line) -> None:
        """Have a line used by others again."""
        self._idle.append(line)
        if self._ended:
            self.close()

    def drop(self, line: Line, abandoned: int | None) -> None:
        """Close a line, and have undone what was asked there by a number."""
        if abandoned is not None:
            # An engine that has ended needn't hear it, and one that can't hears it otherwise, too.
            with contextlib.suppress(EndOfFrames, BadFrame):
                line.send(pack_frame(["abandon", abandoned]))
        line.close()
        self._to_come.append(0)

    def close(self) -> None:
        """Close those that nobody uses; the others as they are given back. Idempotent."""
        self._ended = True
        while (line := self.take()) is not None:
            line.close()

    def hear(
        self, line: Line, operation: str, timeout: float | None, deadline: float | None
    ) -> object:
        """Return the next frame. Raises EndOfFrames, BadFrame, CallTimeout."""
        received = bytearray()
        begun = time.monotonic()
        looking = begun < self._look_until
        until = begun + _LOOKS_FOR if looking else 0.0
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

    def _learn(self, begun: float, *, looked: bool) -> None:
        now = time.monotonic()
        if now - begun > _LOST or (looked and now - begun < _LOOKS_FOR):
            self._look_until = now + _AFTER
