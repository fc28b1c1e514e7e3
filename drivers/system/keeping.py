"""Sending and receiving without letting go of the interpreter's lock.

Owns nothing. Python lets go of it around each system call, and where another thread is busy the
caller waits a whole switch interval (5 ms) to have it back. A call that doesn't block takes a
microsecond, for which nobody need be let in. send(2), recv(2), sched_yield(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import time

from layerstore.drivers.system.frames import BadFrame, EndOfFrames

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_libc.send.restype = ctypes.c_ssize_t
_libc.recv.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_libc.recv.restype = ctypes.c_ssize_t
_INBOX = 1 << 16
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


def send_at_once(fd: int, data: bytes) -> int:
    """Send what a socket takes now; returns how many bytes. Raises OSError."""
    sent: int = _libc.send(fd, data, len(data), _FLAGS)
    if sent < 0:
        if ctypes.get_errno() == errno.EAGAIN:
            return 0
        raise _failure()
    return sent


class _Inbox:
    """A buffer to receive into; for one thread at a time."""

    def __init__(self, size: int) -> None:
        self._buffer = ctypes.create_string_buffer(size)
        self._size = size

    def receive_at_once(self, fd: int) -> bytes | None:
        """Return what has come to a socket, b"" at its end, None for nothing. Raises OSError."""
        count: int = _libc.recv(fd, self._buffer, self._size, _FLAGS)
        if count < 0:
            if ctypes.get_errno() in (errno.EAGAIN, errno.EINTR):
                return None
            raise _failure()
        return ctypes.string_at(self._buffer, count)


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


class Line:
    """A connected socket, for one thread at a time."""

    __slots__ = ("_inbox", "_socket")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._inbox = _Inbox(_INBOX)

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
        last = False
        while True:
            try:
                found = self._inbox.receive_at_once(self._socket.fileno())
            except OSError as error:
                raise EndOfFrames from error
            if found == b"":
                raise EndOfFrames
            if found is not None or last:
                return found
            # Whoever is to answer may wait for this processor.
            _libc.sched_yield()
            # Another thread may have had its turn since the last look.
            last = time.monotonic() >= until

    def wait(self, seconds: float | None) -> bool:
        """Wait until something comes; whether it did in time."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def shut(self) -> None:
        """End the connection, from any thread: whoever waits here hears that."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, whoever has a copy of it."""
        self.shut()
        self._socket.close()
