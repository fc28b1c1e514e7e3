"""Giving back a registered tar as a stream that somebody reads, piece by piece.

Owns the order of the pieces; what a file must hold is checked as `replay_bytes` checks it. For whom
a whole tar is written at once, that is faster.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import BinaryIO

from fastcrc import crc64

from layerstore.drivers.errors import DriverError
from layerstore.drivers.tar.split.layer_files import LayerFiles
from layerstore.drivers.tar.split.records import SEGMENT, Record, read_records
from layerstore.drivers.tar.split.replay_bytes import differs

_PIECE = 1 << 20
_LONGEST_LINE = 16 << 20
"""Bytes of a record: this is read where nothing limits the memory, and tells of headers mostly."""
_TOGETHER = 1 << 16
"""Bytes of small pieces that are given as one."""


class ReplayStream:
    """A tar that is read; it ends where its records end."""

    def __init__(self, tar_split: BinaryIO, root: str, what: str) -> None:
        """Take uncompressed records, and the directory of the files; `what` names the records."""
        self._pieces = _collected(_pieces(tar_split, root, what))
        self._left = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end.

        Raises IntegrityError for a file that is missing or has other content; InvalidMetadata for
        malformed records; DriverError.
        """
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)

    def close(self) -> None:
        """Close what is open. Idempotent."""
        self._pieces.close()


def _collected(pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Give pieces of which none but the last is small."""
    small = bytearray()
    for piece in pieces:
        small += piece
        if len(small) >= _TOGETHER:
            yield bytes(small)
            small.clear()
    if small:
        yield bytes(small)


def _pieces(tar_split: BinaryIO, root: str, what: str) -> Iterator[bytes]:
    with LayerFiles(root) as files:
        for record in read_records(tar_split, what, _LONGEST_LINE):
            if record.type == SEGMENT:
                yield record.payload or b""
            elif record.size:
                yield from _content(files, record)


def _content(files: LayerFiles, record: Record) -> Iterator[bytes]:
    left, crc = record.size, 0
    fd = files.open(record.file_name, left)
    if fd is None:
        raise differs(record, "missing, or of another size")
    try:
        while left:
            piece = os.read(fd, min(left, _PIECE))
            if not piece:
                raise differs(record, f"{left} bytes short")
            crc = crc64.go_iso(piece, crc)
            left -= len(piece)
            yield piece
    except OSError as error:
        raise DriverError.from_os_error("read", record.file_name, error) from error
    finally:
        os.close(fd)
    if crc.to_bytes(8, "big") != record.payload:
        raise differs(record, f"CRC-64 {crc:016x}")
