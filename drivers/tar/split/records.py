"""The lines of a tar-split file: one JSON object for each member and each run of raw bytes.

Owns their spelling, which is that of vbatts/tar-split's storage.Entry as Go's encoding/json writes
it. It knows nothing of tars or files.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from layerstore.drivers.errors import InvalidMetadata

FILE = 1
SEGMENT = 2
_KINDS = (FILE, SEGMENT)
_MANY_LINES = 1 << 18
"""Bytes that are decoded at once, and the rest of their last line."""
_LONGEST_LINE = 1 << 28
_TO_ESCAPE = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line. Fields have Go's names; `position` is the line's number from 0."""

    type: int
    payload: bytes | None
    """For a file the big-endian CRC-64 ISO of its content, for a segment the bytes themselves."""
    position: int
    name: str = ""
    name_raw: bytes = b""
    """The name where it is not UTF-8."""
    size: int = 0

    @property
    def file_name(self) -> bytes:
        """The name as bytes."""
        return self.name_raw or self.name.encode("utf-8", "surrogateescape")


_decoder = msgspec.json.Decoder(Record)


def segment_line(payload: bytes | memoryview, position: int) -> bytes:
    """Spell a run of raw bytes."""
    text = b2a_base64(payload, newline=False)
    return b'{"type":2,"payload":"%b","position":%d}\n' % (text, position)


def file_line(name: bytes, size: int, crc: int | None, position: int) -> bytes:
    """Spell a member; `crc` is None for one without content, whose size is 0 then."""
    if crc is None:
        return b'{"type":1,%b"payload":null,"position":%d}\n' % (_name_field(name), position)
    text = b2a_base64(crc.to_bytes(8, "big"), newline=False)
    return b'{"type":1,%b"size":%d,"payload":"%b","position":%d}\n' % (
        _name_field(name), size, text, position,
    )  # fmt: skip


def read_records(lines: BinaryIO, what: str, longest: int = _LONGEST_LINE) -> Iterator[Record]:
    """Read records; `what` names the file, `longest` is about how many bytes a line may have.

    Raises InvalidMetadata where a line is malformed.
    """
    number = 0
    while piece := lines.read(_MANY_LINES):
        if not piece.endswith(b"\n"):
            piece += lines.readline(longest)
        try:
            records = _decoder.decode_lines(piece)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidMetadata(what, _first_malformed(piece, number, error)) from error
        for record in records:
            if record.type not in _KINDS or record.size < 0:
                raise InvalidMetadata(what, f"line {number} is neither a file nor a segment")
            yield record
            number += 1


def _first_malformed(piece: bytes, number: int, error: Exception) -> str:
    """Say which line of many, of which the first is `number`, can't be read."""
    for line in piece.split(b"\n"):
        try:
            _decoder.decode_lines(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as found:
            return f"line {number}: {found}"
        number += 1
    return f"line {number}: {error}"


def _name_field(name: bytes) -> bytes:
    if not name:
        return b""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return b'"name_raw":"%b",' % b2a_base64(name, newline=False)
    if _TO_ESCAPE.search(text):
        text = _TO_ESCAPE.sub(_escape, text)
        name = text.encode()
    return b'"name":"%b",' % name


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"
