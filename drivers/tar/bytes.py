"""The bytes of a tar stream: read once, in order, counted and hashed.

Owns how the buffers are filled and given out. It knows nothing of what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, Self

from layerstore.drivers.errors import DriverError, InvalidTar
from layerstore.drivers.tar.hashed_ring import BUFFER, HashedRing

if TYPE_CHECKING:
    from types import TracebackType

BLOCK = 512
_BUFFERS = 4


class Readable(Protocol):
    """All that is used of a source; readinto may give fewer bytes than fit."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill from the start of the buffer; 0 only at the end."""


class TarBytes:
    """A reader of one stream.

    Views that it gives out are valid until the next call. Buffers are filled whole before they are
    used and hold whole blocks, so that a block never lies in two of them.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._ring = HashedRing(_BUFFERS)
        self._view = memoryview(b"")
        self._position = 0
        self._base = 0
        self._ended = False

    @property
    def offset(self) -> int:
        """Bytes given out so far."""
        return self._base + self._position

    def block(self) -> memoryview | None:
        """Give the next 512 bytes; None at the end. Raises InvalidTar if only a part is there."""
        start = self._position
        piece = self._view[start : start + BLOCK]
        if len(piece) < BLOCK:
            piece = self.some(BLOCK)
            if not piece:
                return None
            if len(piece) < BLOCK:
                raise InvalidTar(self.offset, "the stream ends in the middle of a header")
            return piece
        self._position = start + BLOCK
        return piece

    def some(self, most: int) -> memoryview:
        """Give at least one and at most `most` bytes; none at the end."""
        if self._position == len(self._view):
            self._fill()
        piece = self._view[self._position : self._position + most]
        self._position += len(piece)
        return piece

    def pieces(self, count: int, entry: str) -> Iterator[memoryview]:
        """Give exactly `count` bytes in pieces. Raises InvalidTar where they end early."""
        while count:
            piece = self.some(count)
            if not piece:
                raise InvalidTar(self.offset, f"the stream ends {count} bytes too early", entry)
            count -= len(piece)
            yield piece

    def take(self, count: int, entry: str) -> bytes:
        """Give exactly `count` bytes at once; for counts that a limit bounds."""
        start = self._position
        piece = self._view[start : start + count]
        if len(piece) == count:
            self._position = start + count
            return bytes(piece)
        return b"".join(bytes(part) for part in self.pieces(count, entry))

    def at_most(self, count: int) -> bytes:
        """Give `count` bytes, fewer only at the end; for padding, which writers may leave out."""
        found = bytes(self.some(count))
        while len(found) < count and (more := self.some(count - len(found))):
            found += more
        return found

    def finish(self) -> tuple[str, int]:
        """Return `sha256:<hex>` and the size in bytes of all that was read, once all was."""
        return self._ring.digest(), self.offset

    def _fill(self) -> None:
        if self._ended:
            return
        self._base += len(self._view)
        self._position = 0
        buffer = self._ring.take()
        filled = 0
        while filled < BUFFER:
            count = self._read(buffer[filled:])
            if not count:
                self._ended = True
                break
            filled += count
        self._view = buffer[:filled]
        self._ring.hash(self._view, last=self._ended)

    def _read(self, into: memoryview) -> int:
        try:
            return self._source.readinto(into)
        except OSError as error:
            raise DriverError.from_os_error("read", "the tar stream", error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ring.close()
