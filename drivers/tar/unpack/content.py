"""Writing a file's content from a tar's bytes.

Owns what becomes a hole: what a sparse member has no content for. It knows nothing of names.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fastcrc import crc64

from layerstore.drivers.tar.bytes import TarBytes
from layerstore.drivers.tar.header import Header

Tap = Callable[[memoryview], None]
"""Gets each piece of a member's content as it lies in the tar."""


def write_content(fd: int, header: Header, stream: TarBytes, tap: Tap | None) -> int:
    """Write a new file's content from the stream's next bytes; return its CRC-64.

    For a sparse member only the pieces that the tar holds are read, and the CRC is 0.
    Raises InvalidTar and OSError.
    """
    if header.fragments is None:
        crc = _write(fd, 0, header, header.stored, stream, tap)
    else:
        for offset, length in header.fragments:
            _write(fd, offset, header, length, stream, tap)
        crc = 0
    if os.lseek(fd, 0, os.SEEK_END) != header.size:
        os.ftruncate(fd, header.size)  # it ends with a hole
    return crc


def _write(fd: int, at: int, header: Header, count: int, stream: TarBytes, tap: Tap | None) -> int:
    crc = 0
    for piece in stream.pieces(count, header.entry) if count else ():
        if tap is not None:
            tap(piece)
        crc = crc64.go_iso(piece, crc)
        done = 0
        while done < len(piece):
            done += os.pwrite(fd, piece[done:], at + done)
        at += len(piece)
    return crc
