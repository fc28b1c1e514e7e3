"""Compressing a tar so that equal tars give equal bytes: whenever, by however many threads.

Owns what is written: gzip (RFC 1952) by zlib, in blocks that several threads compress at once; or
one frame of zstd. Another version of these libraries may write others. isal is five times as fast,
but what it writes differs from processor to processor.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

from layerstore.drivers.errors import InvalidArgument

Way = Literal["gzip", "zstd"]

_LEVELS: dict[Way, tuple[range, int]] = {
    "gzip": (range(1, 10), 4),
    "zstd": (range(1, 20), 3),  # more would take hundreds of MiB of memory
}
"""What may be asked for, and what is taken where nothing is: with zstd what everybody takes. Docker
takes gzip's 6, which takes half as long again for a fiftieth less."""
_BLOCK = 1 << 20
_WINDOW = 32 << 10
"""Bytes that gzip looks back for what it has seen before."""
_MOST_THREADS = 8
# No time, no name, no system.
_GZIP_BEGINS = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_ENDS = b"\x03\x00"
"""A last block, of nothing."""


class Readable(Protocol):
    """A tar to be read to its end."""

    def read(self, size: int, /) -> bytes | None:
        """Return at most `size` bytes, none at the end."""


def checked_level(way: Way, level: int | None) -> int:
    """Return the level to compress with, by default the way's own. Raises InvalidArgument."""
    if way not in _LEVELS:
        raise InvalidArgument(str(way), f"a layer is compressed by {' or '.join(_LEVELS)}")
    levels, default = _LEVELS[way]
    if level is not None and level not in levels:
        reason = f"{way} has levels from {levels[0]} to {levels[-1]}"
        raise InvalidArgument(str(level), reason)
    return default if level is None else level


def compressed(tar: Readable, way: Way, level: int) -> Generator[bytes]:
    """Give a tar's compressed form, piece by piece; some MiB are read ahead.

    What reading raises goes through. An iterator that isn't used to its end is to be closed.
    """
    blocks = in_blocks(tar)
    return _gzip(blocks, level) if way == "gzip" else _zstd(blocks, level)


def in_blocks(tar: Readable) -> Generator[bytes]:
    """Give a tar in blocks of one size, in whatever pieces it comes."""
    block = bytearray()
    while piece := tar.read(_BLOCK - len(block)):
        if not block and len(piece) == _BLOCK:
            yield piece
            continue
        block += piece
        if len(block) == _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _gzip(blocks: Iterable[bytes], level: int) -> Generator[bytes]:
    yield _GZIP_BEGINS
    checksum = size = 0
    before = b""
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    coming: deque[Future[bytes]] = deque()
    pool = ThreadPoolExecutor(threads, "layerstore-gzip")
    try:
        for block in blocks:
            coming.append(pool.submit(_deflated, block, before, level))
            before = block[-_WINDOW:]
            checksum = zlib.crc32(block, checksum)
            size += len(block)
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
    yield _GZIP_ENDS + checksum.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little")


def _deflated(block: bytes, before: bytes, level: int) -> bytes:
    """Return one block as a part of a gzip stream that begins and ends at a whole byte."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)


def _zstd(blocks: Iterable[bytes], level: int) -> Generator[bytes]:
    import zstandard  # noqa: PLC0415 - few want it

    packer = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    for block in blocks:
        if piece := packer.compress(block):
            yield piece
    yield packer.flush()
