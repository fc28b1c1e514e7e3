"""Writing a file's content from a tar's bytes, with holes where there are only zeros.

Owns what becomes a hole: blocks of a file system's usual size that hold zeros only, and what a
sparse member has no content for. It knows nothing of names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from fastcrc import crc64

from layerstore.drivers.tar.bytes import TarBytes
from layerstore.drivers.tar.header import Header

Tap = Callable[[memoryview], None]
"""Gets each piece of a member's content as it lies in the tar."""
_BLOCK = 4096
_WORDS = _BLOCK // 8
_ZEROS = bytes(_BLOCK)


def write_content(fd: int, header: Header, stream: TarBytes, tap: Tap | None) -> int:
    """Write a new file's content from the stream's next bytes; return its CRC-64.

    For a sparse member only the pieces that the tar holds are read, and the CRC is 0.
    Raises InvalidTar and OSError.
    """
    crc = end = 0
    if header.fragments is None:
        crc, end = _write(fd, 0, header, header.stored, stream, tap)
    else:
        for offset, length in header.fragments:
            _, end = _write(fd, offset, header, length, stream, tap)
    if end != header.size:
        os.ftruncate(fd, header.size)
    return crc


def _write(
    fd: int, at: int, header: Header, count: int, stream: TarBytes, tap: Tap | None
) -> tuple[int, int]:
    """Write so many bytes at an offset; return their CRC and where what was written ends."""
    crc = written = 0
    for piece in stream.pieces(count, header.entry) if count else ():
        if tap is not None:
            tap(piece)
        crc = crc64.go_iso(piece, crc)
        for start, end in _without_zeros(piece, at):
            done = start
            while done < end:
                done += os.pwrite(fd, piece[done:end], at + done)
            written = at + end
        at += len(piece)
    return crc, written


def _without_zeros(piece: memoryview, at: int) -> Iterable[tuple[int, int]]:
    """Give the parts of a piece, which lies at `at` in its file, that are no blocks of zeros.

    The parts of blocks at its ends count as blocks, since what isn't written is zeros anyway. Only
    where a block begins with zeros the rest of it is looked at.
    """
    size = len(piece)
    first = -at % _BLOCK
    blocks = (size - first) // _BLOCK
    if blocks < 1:
        return ((0, size),)
    last = first + blocks * _BLOCK
    words = piece[first:last].cast("Q")[::_WORDS].tolist()
    if 0 not in words:
        return ((0, size),)
    ends = [first + number * _BLOCK for number in range(blocks + 1)]
    begins = zip([0, *ends], [*ends, size], [0, *words, 0], strict=True)
    found: list[tuple[int, int]] = []
    for start, end, word in begins:
        if word == 0 and piece[start:end].tobytes() == _ZEROS[: end - start]:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
