"""PAX extended headers: their records, and what they change in a member's header.

Owns the grammar of records and the keywords that matter to a layer. Sparse maps are only collected
here; `sparse` reads them. Global headers are checked and ignored, as moby does.
Sources: POSIX pax, "pax Extended Header"; the GNU tar manual, "Sparse Formats"; star(5) for
SCHILY.xattr. Repeated keys: the last one counts; an empty value leaves what the header said.
"""

from __future__ import annotations

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.tar.header import Header, decimal

XATTR_PREFIX = b"SCHILY.xattr."
SPARSE_MAP = b"GNU.sparse.map"
_SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_WITHOUT_NUL = frozenset((b"path", b"linkpath", b"uname", b"gname"))
_NANOSECOND_DIGITS = 9
_NANOSECONDS = 1_000_000_000
_SHORTEST_RECORD = 5


def parse_records(data: bytes, offset: int) -> dict[bytes, bytes]:
    """Split a PAX header's content, which begins at `offset`, into records. Raises InvalidTar.

    The repeated keys of GNU's sparse format 0.0 are joined into the one key of format 0.1.
    """
    found: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    start = 0
    while start < len(data):
        end, key, value = _record(data, start, offset)
        if key in _SPARSE_PAIR:
            if key != _SPARSE_PAIR[len(pairs) % 2] or b"," in value:
                raise InvalidTar(offset + start, "the sparse map's records are out of order")
            pairs.append(value)
        else:
            found[key] = value
        start = end
    if pairs:
        found[SPARSE_MAP] = b",".join(pairs)
    return found


def _record(data: bytes, start: int, offset: int) -> tuple[int, bytes, bytes]:
    """Read `LENGTH KEY=VALUE\\n`, LENGTH counting the whole of it."""
    space = data.find(b" ", start)
    length = (decimal(data[start:space]) if space > start else None) or 0
    end = start + length
    if length < _SHORTEST_RECORD or end <= space or end > len(data) or data[end - 1] != 0x0A:
        raise InvalidTar(offset + start, "a PAX record's length is wrong")
    key, equals, value = data[space + 1 : end - 1].partition(b"=")
    if not equals or not key or b"\0" in key:
        raise InvalidTar(offset + start, "a PAX record is not of the form key=value")
    if key in _WITHOUT_NUL and b"\0" in value:
        raise InvalidTar(offset + start, f"the PAX record {key.decode()} holds a NUL byte")
    return end, key, value


def merge_records(header: Header, records: dict[bytes, bytes]) -> None:
    """Let PAX records override the header's fields. Raises InvalidTar."""
    header.records = records
    for key, value in records.items():
        if not value:
            continue
        match key:
            case b"path":
                header.name = value
            case b"linkpath":
                header.linkname = value
            case b"size":
                header.size = _integer(header, key, value)
            case b"uid":
                header.uid = _integer(header, key, value)
            case b"gid":
                header.gid = _integer(header, key, value)
            case b"mtime":
                header.mtime = _time(header, key, value)
            case b"atime":
                header.atime = _time(header, key, value)
            case _ if key.startswith(XATTR_PREFIX):
                name = key[len(XATTR_PREFIX) :].decode("utf-8", "surrogateescape")
                header.xattrs[name] = value


def _integer(header: Header, key: bytes, value: bytes) -> int:
    number = decimal(value)
    if number is None:
        raise InvalidTar(header.offset, f"the PAX record {key.decode()} is no number", header.entry)
    return number


def _time(header: Header, key: bytes, value: bytes) -> int:
    """Read seconds with an optional fraction of any length, as nanoseconds rounded towards 0."""
    seconds, _, fraction = value.partition(b".")
    whole = decimal(seconds)
    if whole is None or (fraction and not fraction.isdigit()):
        raise InvalidTar(header.offset, f"the PAX record {key.decode()} is no time", header.entry)
    part = int(fraction[:_NANOSECOND_DIGITS].ljust(_NANOSECOND_DIGITS, b"0"))
    return whole * _NANOSECONDS + (-part if seconds.startswith(b"-") else part)
