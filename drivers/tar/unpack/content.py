"""Writing a file's content from a tar's bytes, with holes where there are only zeros.

Owns what becomes a hole: blocks of a file system's usual size that hold zeros only, and what a
sparse member has no content for. It knows nothing of names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from fastcrc import crc64

from layerstore.drivers.tar.header import Header

Tap = Callable[[memoryview], None]
"""Gets each piece of a member's content as it lies in the tar."""

_BLOCK = 4096
_WORDS = _BLOCK // 8
_ZEROS = bytes(_BLOCK)


class Content(Protocol):
    """Where the content of a member comes from."""

    def pieces(self, count: int, entry: str) -> Iterator[memoryview]:
        """Give exactly `count` bytes in pieces; `entry` names the member in errors."""


def write_content(fd: int, header: Header, stream: Content, tap: Tap | None) -> int:
    """Write a new file's content from the stream's next bytes; return its CRC-64.

    For a sparse member only the pieces that the tar holds are read, and the CRC is 0.
    Raises InvalidTar and OSError.
    """
    if header.fragments is None:
        return _write(fd, 0, header, header.stored, stream, tap, end=header.size)
    for offset, length in header.fragments:
        _write(fd, offset, header, length, stream, tap)
    os.ftruncate(fd, header.size)
    return 0


def _write(
    fd: int, at: int, header: Header, count: int, stream: Content, tap: Tap | None, end: int = 0
) -> int:
    """Write so many bytes at an offset; return their CRC. The file is `end` bytes long at least."""
    crc = written = 0
    for piece in stream.pieces(count, header.entry) if count else ():
        if tap is not None:
            tap(piece)
        crc = crc64.go_iso(piece, crc)
        size = len(piece)
        parts = _without_zeros(piece, at) if size >= _BLOCK else None
        for start, stop in ((0, size),) if parts is None else parts:
            done = start
            while done < stop:
                done += os.pwrite(fd, piece[done:stop], at + done)
            written = at + stop
        at += size
    if written < end:
        os.ftruncate(fd, end)  # it ends with a hole
    return crc


def _without_zeros(piece: memoryview, at: int) -> list[tuple[int, int]] | None:
    """Give the parts of a piece, which lies at `at` in its file, that are no blocks of zeros.

    None is the whole of it. The parts of blocks at its ends count as blocks, since what isn't
    written is zeros anyway. Only where a block begins with zeros the rest of it is looked at.
    """
    first = -at % _BLOCK
    blocks = (len(piece) - first) // _BLOCK
    if blocks < 1 or (blocks == 1 and piece[first]):
        return None
    last = first + blocks * _BLOCK
    words = piece[first:last].cast("Q")[::_WORDS].tolist()
    if 0 not in words:
        return None
    ends = [first + number * _BLOCK for number in range(blocks + 1)]
    begins = zip([0, *ends], [*ends, len(piece)], [0, *words, 0], strict=True)
    found: list[tuple[int, int]] = []
    for start, stop, word in begins:
        if word == 0 and piece[start:stop].tobytes() == _ZEROS[: stop - start]:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
