"""The maps of sparse members: which parts of a file a tar holds, and where its holes are.

Owns reading of GNU's four ways to write a map: the old one in the header and extension blocks, and
PAX formats 0.0, 0.1 (in records) and 1.0 (in front of the content).
Source: the GNU tar manual, appendix "Sparse Formats". Decimal numbers in 1.0 as GNU tar writes
them, not octal as its manual says.
"""

from __future__ import annotations

from collections.abc import Callable

from layerstore.drivers.errors import InvalidTar, LimitExceeded
from layerstore.drivers.tar.bytes import BLOCK
from layerstore.drivers.tar.header import Header, decimal, number
from layerstore.drivers.tar.pax import SPARSE_MAP

Fragments = list[tuple[int, int]]
NextBlock = Callable[[], bytes]
"""Gives the next block of the stream, which becomes part of the member's header."""

_PAIR = 24
_NUMBER = 12
_IN_HEADER = (386, 4)
_IN_EXTENSION = (0, 21)
_REAL_SIZE = slice(483, 495)


def read_old_gnu(header: Header, block: bytes, next_block: NextBlock, most: int) -> None:
    """Read the map of a type S member from its header block and the extension blocks after it.

    `most` bounds the map's size in bytes. Raises InvalidTar and LimitExceeded.
    """
    if not header.gnu:
        raise _invalid(header, "a sparse member that is not in GNU format")
    header.stored = header.size
    header.size = number(block[_REAL_SIZE], header.offset)
    found: Fragments = []
    start, count = _IN_HEADER
    while True:
        for at in range(start, start + count * _PAIR, _PAIR):
            if block[at] == 0:
                break
            length = block[at + _NUMBER : at + _PAIR]
            found.append(
                (number(block[at : at + _NUMBER], header.offset), number(length, header.offset))
            )
        if not block[start + count * _PAIR]:
            break
        if len(found) * _PAIR > most:
            raise _too_large(most, header)
        block = next_block()
        start, count = _IN_EXTENSION
    _accept(header, found)


def pax_version(header: Header) -> str | None:
    """Tell a PAX sparse member's format: `0` for 0.0 and 0.1, `1` for 1.0, None for no such."""
    records = header.records
    major, minor = records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor")
    if major == b"0" and minor in (b"0", b"1"):
        return "0"
    if (major, minor) == (b"1", b"0"):
        return "1"
    if major or minor or not records.get(SPARSE_MAP):
        return None
    return "0"


def read_pax(header: Header, version: str, next_block: NextBlock, most: int) -> None:
    """Read the map of a PAX sparse member, taking it off the content in format 1.0.

    `most` bounds the map's size in bytes. Raises InvalidTar and LimitExceeded.
    """
    records = header.records
    header.stored = header.size
    header.name = records.get(b"GNU.sparse.name") or header.name
    size = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
    if size:
        header.size = _decimal(header, size)
    if version == "1":
        numbers = _map_in_content(header, next_block, most)
    else:
        given = records.get(SPARSE_MAP, b"")
        numbers = [_decimal(header, text) for text in given.split(b",")] if given else []
        if len(numbers) != 2 * _decimal(header, records.get(b"GNU.sparse.numblocks", b"")):
            raise _invalid(header, "the sparse map does not have as many entries as it says")
    _accept(header, list(zip(numbers[::2], numbers[1::2], strict=True)))


def _map_in_content(header: Header, next_block: NextBlock, most: int) -> list[int]:
    """Read a count and pairs of numbers, a line each, padded to a whole number of blocks."""
    text = bytearray()
    lines, wanted = 0, 1
    while lines < wanted:
        if header.stored < BLOCK:
            raise _invalid(header, "the sparse map ends too early")
        block = next_block()
        header.stored -= BLOCK
        text += block
        lines += block.count(b"\n")
        if wanted == 1 and lines:
            wanted += 2 * _decimal(header, bytes(text).partition(b"\n")[0])
        if len(text) > most or wanted > most:
            raise _too_large(most, header)
    return [_decimal(header, line) for line in bytes(text).split(b"\n")[1:wanted]]


def _accept(header: Header, found: Fragments) -> None:
    end = 0
    for offset, length in found:
        if offset < end or length < 0:
            raise _invalid(header, "the sparse map's entries overlap or are out of order")
        end = offset + length
    if header.size < end:
        raise _invalid(header, "the sparse map reaches beyond the file's size")
    header.fragments = [pair for pair in found if pair[1]]
    if sum(length for _, length in header.fragments) != header.stored:
        raise _invalid(header, "the sparse map does not fit the content's size")
    if header.stored == header.size:
        header.fragments = None  # no holes: its content is in the archive as it is in the file


def _decimal(header: Header, text: bytes) -> int:
    value = decimal(text)
    if value is None or value < 0:
        raise _invalid(header, f"a number in the sparse map is wrong: {text[:32]!r}")
    return value


def _too_large(most: int, header: Header) -> LimitExceeded:
    return LimitExceeded("the sparse map's size in bytes", most, "max_header", header.entry)


def _invalid(header: Header, reason: str) -> InvalidTar:
    return InvalidTar(header.offset, reason, header.entry)
