"""One end of a connection: frames in, frames out, and never a wait.

Owns what has been received and isn't whole yet, what has not been sent yet, and the descriptors
that go with both. One thread uses it; others may only `send_at_once`.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque

from layerstore.drivers.system.frames import (
    MAX_DESCRIPTORS,
    BadFrame,
    pack_frame,
    receive_some,
    send_some,
    unpack_frames,
)
from layerstore.drivers.work import Descriptors, OwnedDescriptor

_AT_ONCE = 1 << 18
_MOST_DESCRIPTORS = 64
"""That came with frames which aren't whole yet."""


class Channel:
    """A connected socket."""

    def __init__(self, sock: socket.socket, *, most_in: int) -> None:
        """Take the socket over; `most_in` is how many bytes a frame that comes in may have."""
        sock.setblocking(False)
        self._sock = sock
        self._most_in = most_in
        self._received = bytearray()
        self._came: list[int] = []
        self._to_send: deque[tuple[memoryview, Descriptors]] = deque()
        self.unsent = 0
        """Bytes that the other end hasn't made room for."""
        self._turn = deque((None,))
        """Whoever takes it out may send; nobody waits for it."""
        self.in_use = False
        """Another thread was just sending when this one came to it; it won't be for long."""
        self._ended = False

    def fileno(self) -> int:
        """Return the socket's number, for select and poll."""
        return self._sock.fileno()

    @property
    def pending(self) -> int:
        """How many frames haven't been sent yet."""
        return len(self._to_send)

    def receive(self) -> list[object]:
        """Return the frames that are whole by now; raises EndOfFrames, BadFrame, OSError."""
        try:
            receive_some(self._sock, self._received, self._came, _AT_ONCE)
        except BlockingIOError:
            return []
        found = unpack_frames(self._received, self._most_in)
        if len(self._came) > _MOST_DESCRIPTORS:
            raise BadFrame("descriptors came that belong to no frame")
        return found

    def take(self, count: int) -> Descriptors:
        """Take the descriptors that came beside a frame, in order. Raises BadFrame."""
        if not 0 <= count <= min(MAX_DESCRIPTORS, len(self._came)):
            raise BadFrame(f"{count} descriptors were announced, and {len(self._came)} came")
        taken, self._came[:count] = self._came[:count], []
        return tuple(OwnedDescriptor(fd) for fd in taken)

    def queue(self, frame: bytes, descriptors: Descriptors = ()) -> None:
        """Have a packed frame sent next, closing the descriptors that go beside it."""
        self._to_send.append((memoryview(frame), descriptors))
        self.unsent += len(frame)

    def put(self, value: object) -> None:
        """Have a frame sent next."""
        self.queue(pack_frame(value))

    def flush(self) -> bool:
        """Send what there is room for; whether that was all. Raises OSError."""
        if not self._to_send:
            return True
        self.in_use = not self._take_turn()
        if self.in_use:
            return False
        try:
            return self._flush()
        finally:
            self._turn.append(None)

    def _flush(self) -> bool:
        while self._to_send:
            data, descriptors = self._to_send[0]
            try:
                sent = send_some(self._sock, data, [each.fileno() for each in descriptors])
            except BlockingIOError:
                return False
            for descriptor in descriptors:
                descriptor.close()
            self.unsent -= sent
            if sent < len(data):
                self._to_send[0] = (data[sent:], ())
            else:
                self._to_send.popleft()
        return True

    def send_whole(self, frame: bytes, descriptors: Descriptors) -> bool:
        """Send a small frame if there is room for it; whether there was. Raises OSError.

        Its descriptors are closed then.
        """
        try:
            sent = send_some(self._sock, memoryview(frame), [each.fileno() for each in descriptors])
        except BlockingIOError:
            return False
        for descriptor in descriptors:
            descriptor.close()
        if sent < len(frame):
            raise BadFrame("the system cut a small frame in two")
        return True

    def send_at_once(self, frame: bytes) -> bool:
        """Send a small frame where nothing else is on its way; whether it is sent; any thread.

        Raises OSError, BadFrame.
        """
        if self._to_send or not self._take_turn():
            return False
        try:
            return not self._to_send and not self._ended and self.send_whole(frame, ())
        finally:
            self._turn.append(None)
            if self._ended:
                self._close_in_turn()

    def _take_turn(self) -> bool:
        try:
            self._turn.pop()
        except IndexError:
            return False
        return True

    def _close_in_turn(self) -> None:
        """Close the socket, unless somebody is just sending, who will do it."""
        if self._take_turn():
            # Processes that were forked meanwhile have copies: closing alone ends nothing.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._sock.close()

    def close(self) -> None:
        """End the connection, and close what came or was to go beside frames. Idempotent."""
        self._ended = True
        self._close_in_turn()
        self._came, left = [], self._came
        for fd in left:
            OwnedDescriptor(fd).close()
        while self._to_send:
            for descriptor in self._to_send.popleft()[1]:
                descriptor.close()
        self.unsent = 0
