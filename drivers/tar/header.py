"""One 512-byte tar header: its fields, numbers and checksum.

Owns the formats v7, ustar, GNU and star on the level of one block. It reads no stream; what PAX
and GNU records in front of a header change is put into the Header by others.
Sources: POSIX pax, "ustar Interchange Format"; the GNU tar manual, "Basic Tar Format". What is
accepted follows Go's archive/tar, since that decides which layers Docker takes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.tar.bytes import BLOCK

ZERO_BLOCK = bytes(BLOCK)
REGULAR, REGULAR_OLD, LINK, SYMLINK, CHAR, BLOCK_DEVICE = b"0", b"\0", b"1", b"2", b"3", b"4"
DIRECTORY, FIFO, CONTIGUOUS, GNU_SPARSE = b"5", b"6", b"7", b"S"
PAX_NEXT, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK = b"x", b"g", b"L", b"K"
WITHOUT_CONTENT = frozenset((LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
"""Types that have no content in the archive, whatever their size field says."""

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_GNU_TIMES = struct.Struct("12s12s")
_STAR_PREFIX = 131
_CHECKSUM = slice(148, 156)
_NANOSECONDS = 1_000_000_000
_MAX_NUMBER = (1 << 63) - 1


@dataclass(slots=True)
class Header:
    """What is known of one member before its content; names are raw bytes."""

    offset: int
    """Where the member's first header block lies in the stream, in bytes."""
    name: bytes
    type: bytes
    linkname: bytes
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes of the file that the member makes (holes included)."""
    mtime: int
    """Nanoseconds since 1970."""
    major: int
    minor: int
    gnu: bool
    atime: int | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    records: dict[bytes, bytes] = field(default_factory=dict)
    """PAX records as they were given."""
    stored: int = 0
    """Bytes of content in the archive, after all that is called header."""
    fragments: list[tuple[int, int]] | None = None
    """For a sparse member: offset and length in the file of each piece of the stored content."""

    @property
    def entry(self) -> str:
        """The name, for people."""
        return self.name.decode("utf-8", "surrogateescape")


def parse_header(block: memoryview, offset: int) -> Header:
    """Read a header block that is not all zeros. Raises InvalidTar."""
    (
        name, mode, uid, gid, size, mtime, checksum, kind, linkname,
        magic, _uname, _gname, major, minor, prefix, _rest,
    ) = _FIELDS.unpack(block)  # fmt: skip
    _check_sum(block, checksum, offset)
    name = name.partition(b"\0")[0]
    gnu = magic == b"ustar  \0"
    ustar = magic[:6] == b"ustar\0"
    if ustar and prefix[0]:
        name = _prefixed(name, prefix, block)
    found = Header(
        offset, name, kind, linkname.partition(b"\0")[0],
        number(mode, offset), number(uid, offset), number(gid, offset),
        number(size, offset), number(mtime, offset) * _NANOSECONDS,
        0, 0, gnu,
    )  # fmt: skip
    if gnu or ustar:
        found.major = number(major, offset)
        found.minor = number(minor, offset)
    if gnu and prefix[0]:
        _read_gnu_times(found, prefix)
    return found


def number(raw: bytes, offset: int) -> int:
    """Read a numeric field, octal or base-256. Raises InvalidTar for anything else."""
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big", signed=False) & ((1 << (8 * len(raw) - 1)) - 1)
        if raw[0] & 0x40:
            value -= 1 << (8 * len(raw) - 1)
        if not -_MAX_NUMBER - 1 <= value <= _MAX_NUMBER:
            raise InvalidTar(offset, "a number in the header is too large")
        return value
    text = raw.strip(b" \0")
    if not text:
        return 0
    text = text.partition(b"\0")[0]
    try:
        if text.isdigit():
            return int(text, 8)
    except ValueError as error:
        raise InvalidTar(offset, f"a number in the header is not octal: {raw!r}") from error
    raise InvalidTar(offset, f"a number in the header is not octal: {raw!r}")


def decimal(raw: bytes) -> int | None:
    """Read a decimal number of at most 63 bits with an optional sign, else None."""
    digits = raw[1:] if raw[:1] in (b"-", b"+") else raw
    significant = digits.lstrip(b"0") or b"0"
    if not digits.isdigit() or len(significant) > 19:
        return None
    value = -int(significant) if raw[:1] == b"-" else int(significant)
    return value if -_MAX_NUMBER - 1 <= value <= _MAX_NUMBER else None


def _check_sum(block: memoryview, field_: bytes, offset: int) -> None:
    # Adler-32's low half is one more than the sum of the bytes, modulo 65521: exact for 256 bytes.
    unsigned = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    blanks = 8 * 32
    given = sum(block[_CHECKSUM])
    expected = _checksum_number(field_, offset)
    if expected == unsigned - given + blanks:
        return
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    given = sum(byte - 256 if byte > 127 else byte for byte in block[_CHECKSUM])
    if expected != signed - given + blanks:
        raise InvalidTar(offset, "not a tar header: its checksum is wrong")


def _checksum_number(field_: bytes, offset: int) -> int:
    if field_[0] & 0x80:
        raise InvalidTar(offset, "not a tar header: its checksum is no number")
    try:
        return number(field_, offset)
    except InvalidTar as error:
        raise InvalidTar(offset, "not a tar header: its checksum is no number") from error


def _prefixed(name: bytes, prefix: bytes, block: memoryview) -> bytes:
    if bytes(block[508:512]) == b"tar\0":
        prefix = prefix[:_STAR_PREFIX]
    return prefix.partition(b"\0")[0] + b"/" + name


def _read_gnu_times(header: Header, area: bytes) -> None:
    """Take the access time; writers of Go before 1.8 put a name's prefix there instead."""
    atime, ctime = _GNU_TIMES.unpack_from(area)
    try:
        if ctime[0]:
            number(ctime, header.offset)
        header.atime = number(atime, header.offset) * _NANOSECONDS
    except InvalidTar:
        prefix = area.partition(b"\0")[0]
        if prefix.isascii():
            header.name = prefix + b"/" + header.name
