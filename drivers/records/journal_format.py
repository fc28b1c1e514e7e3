"""The format of a trace's journal: a magic, then frames of msgpack with a length and a checksum.

Owns bytes only. A frame is its body's length and CRC-32 (big-endian, 4 bytes each) and the body:
first of all a header, then arrays of records, or how many records were lost. docs/tracing.md
describes it for others. What is read may be hostile, so everything in it is bounded and checked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import msgpack
import msgspec

MAGIC = b"LSTRACE\x01"
MAX_BODY = 1 << 20
MAX_ROWS = 512
_MAX_ROW = 1 << 17
_MAX_ITEMS = 4096
_FRAME = struct.Struct(">II")
FRAME_SIZE = _FRAME.size

Row = tuple[int, int, int, str, str, str, str, int, int, int, str, dict[str, Any]]
"""Sequence, cause, request, sender, receiver, kind, summary, enqueued, started, ended, outcome and
facts, as TraceRecord has them."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of each file: which store was traced, and since when."""

    session: str
    """Names what was traced from one begin to its end, which may be several files."""
    part: int
    """Number of the file in its session, from 1."""
    pid: int
    root: str
    driver: str
    wall: int
    """Nanoseconds since 1970 when `monotonic` was taken."""
    monotonic: int
    """Nanoseconds of the monotonic clock, as in the records."""


class Lost(msgspec.Struct, frozen=True):
    """How many records are missing here, because the disk was full or too slow."""

    lost: int


class NotAFrame(Exception):
    """What lies there is no whole frame: `reason`."""


class BadBody(Exception):
    """A whole frame holds what no journal has: `reason`."""


def pack_frame(body: bytes) -> bytes:
    """Return a frame around a body."""
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def pack_value(value: Header | Lost) -> bytes:
    """Return the body of a frame that holds no records."""
    return _packed(msgspec.to_builtins(value))


def pack_rows(rows: Sequence[bytes]) -> bytes:
    """Return the body of a frame with rows that are packed already, at most MAX_ROWS."""
    return b"".join((msgpack.Packer().pack_array_header(len(rows)), *rows))


def pack_row(row: Sequence[object]) -> bytes:
    """Return one packed row; ValueError for what can't be one."""
    try:
        packed = _packed(row)
    except (TypeError, OverflowError, msgpack.PackException) as error:
        raise ValueError(str(error)) from error
    if len(packed) > _MAX_ROW:
        raise ValueError(f"a record of {len(packed)} bytes is too long")
    return packed


def _packed(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def take_frame(data: memoryview) -> memoryview:
    """Return the body of the frame at the beginning of `data`. Raises NotAFrame."""
    if len(data) < FRAME_SIZE:
        raise NotAFrame(f"a frame is cut off after {len(data)} bytes")
    length, checksum = _FRAME.unpack_from(data)
    if not 0 < length <= MAX_BODY:
        raise NotAFrame(f"a frame claims {length} bytes")
    body = data[FRAME_SIZE : FRAME_SIZE + length]
    if len(body) < length:
        raise NotAFrame(f"a frame of {length} bytes is cut off after {len(body)}")
    if zlib.crc32(body) != checksum:
        raise NotAFrame("a frame's checksum is wrong")
    return body


def unpack_body(body: memoryview) -> Header | Lost | list[Row]:
    """Return what a frame holds. Raises BadBody."""
    try:
        value = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            unicode_errors="surrogatepass",
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
            max_ext_len=0,
        )
        if isinstance(value, list):
            return msgspec.convert(value, list[Row])
        if isinstance(value, dict) and "lost" in value:
            return msgspec.convert(value, Lost)
        return msgspec.convert(value, Header)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise BadBody(str(error) or type(error).__name__) from error
