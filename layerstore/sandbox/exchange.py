"""What goes to a process and comes from it by pipes, until it has ended.

Owns the loop, in which nobody waits for one stream while another is full. It may be left when time
is over, and gone on with.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from layerstore.drivers.errors import OutputExceeded
from layerstore.drivers.work.descriptors import OwnedDescriptor
from layerstore.sandbox.spawning import Spawned

_PIECE = 1 << 16
_AFTER_END = 2.0
"""Seconds that streams are read for after the process has ended. Whoever it has started may hold
them open for as long as it likes. moby: handleContainerExit of an exec."""
_Source = Any
"""What is waited for: a pipe's end or a descriptor."""
_Step = Callable[[_Source], bool]
"""Does what a source is ready for; returns whether nothing more comes of it."""


class Exchange:
    """The exchange with one process."""

    def __init__(self, process: Spawned) -> None:
        """Begin with nothing given and nothing taken. Raises OSError."""
        self._process = process
        self._last: float | None = None
        """When the streams are left to those that hold them; None as long as the process runs."""
        try:
            self._ended: OwnedDescriptor | None = OwnedDescriptor(os.pidfd_open(process.pid))
        except ProcessLookupError:  # nobody's child here, and gone already
            self._hear(None)
        streams = (process.stdout, process.stderr)
        self._taken = {stream: bytearray() for stream in streams if stream is not None}
        self._left: memoryview | None = None
        """Of what is given, once that is known."""
        self._most: int | None = None

    @property
    def ended(self) -> int | None:
        """A descriptor that is readable once the process has ended; None where it has."""
        return self._ended.fileno() if self._ended is not None else None

    def until_end(
        self, given: bytes | None, timeout: float | None, most: int | None
    ) -> tuple[bytes | None, bytes | None]:
        """Go on until all streams and the process have ended; returns what was taken so far.

        Raises TimeoutError after `timeout` seconds, after which it can be gone on with, and
        OutputExceeded for more than `most` bytes of a stream.
        """
        self._most = most
        if self._left is None:
            self._left = memoryview(given or b"")
        with selectors.PollSelector() as selector:  # of a few, for a short while
            for source, events, step in self._open_ends():
                selector.register(source, events, step)
            self._turns(selector, timeout)
        self._process.wait()
        return self._output(self._process.stdout), self._output(self._process.stderr)

    def _open_ends(self) -> Iterator[tuple[_Source, int, _Step]]:
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                stdin.flush()
            os.set_blocking(stdin.fileno(), False)
            yield stdin, selectors.EVENT_WRITE, self._write
        for stream, taken in self._taken.items():
            if not stream.closed:
                taken.extend(_read_ahead(stream))
                yield stream, selectors.EVENT_READ, self._read
        if self._ended is not None:
            yield self._ended, selectors.EVENT_READ, self._hear

    def _turns(self, selector: selectors.BaseSelector, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        while selector.get_map():
            ends = [one for one in (end, self._last) if one is not None]
            ready = selector.select(max(min(ends) - time.monotonic(), 0) if ends else None)
            if self._last is not None and time.monotonic() >= self._last:
                self._leave(selector)
                return
            if not ready and end is not None and time.monotonic() >= end:
                raise TimeoutError
            for key, _ in ready:
                source: _Source = key.fileobj
                if key.data(source):
                    selector.unregister(source)
                    source.close()

    def _write(self, source: IO[bytes]) -> bool:
        """Write what the pipe takes; returns whether that was all, or nobody reads it."""
        with contextlib.suppress(BrokenPipeError):
            while self._left:
                try:
                    self._left = self._left[os.write(source.fileno(), self._left[:_PIECE]) :]
                except BlockingIOError:
                    return False
        return True

    def _read(self, source: IO[bytes]) -> bool:
        piece = os.read(source.fileno(), _PIECE)
        taken = self._taken[source]
        taken += piece
        if self._most is not None and len(taken) > self._most:
            raise self._exceeded(self._most)
        return not piece

    def _exceeded(self, most: int) -> OutputExceeded:
        error = OutputExceeded(most)
        out, err = self._process.stdout, self._process.stderr
        error.stdout, error.stderr = (
            taken[:most] if (taken := self._output(stream)) is not None else None
            for stream in (out, err)
        )
        return error

    def _hear(self, _: _Source) -> bool:
        self._ended = None
        self._last = time.monotonic() + _AFTER_END
        return True

    def _leave(self, selector: selectors.BaseSelector) -> None:
        """Close what somebody still holds that the process has started."""
        for key in list(selector.get_map().values()):
            source: _Source = key.fileobj
            selector.unregister(source)
            source.close()

    def _output(self, stream: IO[bytes] | None) -> bytes | None:
        return bytes(self._taken[stream]) if stream is not None else None


def _read_ahead(stream: IO[bytes]) -> bytes:
    """Return what a stream has taken from its pipe and given to nobody, as who reads lines has it.

    Where that is nothing it may take what is in the pipe now.
    """
    if not isinstance(stream, io.BufferedReader):
        return b""
    os.set_blocking(stream.fileno(), False)
    try:
        return stream.read(len(stream.peek()))
    finally:
        os.set_blocking(stream.fileno(), True)
