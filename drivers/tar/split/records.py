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
_LONGEST_LINE = 1 << 28
_TO_ESCAPE = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
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


def read_records(lines: BinaryIO, what: str) -> Iterator[Record]:
    """Read records; `what` names the file. Raises InvalidMetadata where a line is malformed."""
    number = 0
    while line := lines.readline(_LONGEST_LINE):
        try:
            record = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidMetadata(what, f"line {number}: {error}") from error
        if record.type not in (FILE, SEGMENT) or record.size < 0:
            raise InvalidMetadata(what, f"line {number} is neither a file nor a segment")
        yield record
        number += 1


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
