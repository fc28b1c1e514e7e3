"""The header blocks of a tar member that is written: ustar, with a PAX record for what won't fit.

Owns the format of the tars that layerstore writes itself. It reads no file.
Sources: POSIX pax, "ustar Interchange Format" and "pax Extended Header"; what Docker's diffs hold
(Go's archive/tar with FormatPAX: whole seconds, no user or group names); for sparse members what
GNU tar writes (`--format=posix --sparse`).
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, field

from layerstore.drivers.tar.bytes import BLOCK
from layerstore.drivers.tar.header import PAX_NEXT, REGULAR

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_NAME = 100
_CHECKSUM = slice(148, 156)
_MAX_ID = 0o7777777
_MAX_LONG = 0o77777777777
_PAX_NAME = b"PaxHeaders.0/"
_SPARSE_NAME = b"GNUSparseFile.0/"
"""What readers that know no sparse members make of one lies apart."""
_XATTR = b"SCHILY.xattr."


@dataclass(slots=True)
class Member:
    """What a header tells of one member; names are raw bytes, a directory's ends in a slash."""

    name: bytes
    type: bytes = REGULAR
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of content in the tar."""
    mtime: int = 0
    """Whole seconds since 1970."""
    linkname: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    sparse_size: int | None = None
    """For a sparse member of GNU's format 1.0 the size of the file that it makes."""


def described(name: bytes, kind: bytes, status: os.stat_result) -> Member:
    """Return the member of an empty file with another one's mode, owner and time."""
    return Member(
        name=name,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns // 1_000_000_000,
    )


def header(member: Member) -> bytes:
    """Return all the blocks that stand before the member's content.

    Raises ValueError for an attribute name that PAX has no way to write.
    """
    records = _records(member)
    directory, _, base = member.name.rstrip(b"/").rpartition(b"/")
    above = directory + b"/" if directory else b""
    plain_name = member.name if member.sparse_size is None else above + _SPARSE_NAME + base
    own = _block(member, plain_name, member.type)
    if not records:
        return own
    body = b"".join(_record(key, value) for key, value in records)
    about = Member(name=member.name, mode=0o644, size=len(body))
    return _block(about, above + _PAX_NAME + base, PAX_NEXT) + body + padding(len(body)) + own


def padding(size: int) -> bytes:
    """Return the zeros that fill content of `size` bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def _records(member: Member) -> list[tuple[bytes, bytes]]:
    records = []
    if member.sparse_size is not None:
        records = [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", member.name),
            (b"GNU.sparse.realsize", b"%d" % member.sparse_size),
        ]
    for key, name in ((b"path", member.name), (b"linkpath", member.linkname)):
        if key == b"path" and member.sparse_size is not None:
            continue
        if len(name) > _NAME or not name.isascii():
            records.append((key, name))
    for key, number, most in (
        (b"uid", member.uid, _MAX_ID),
        (b"gid", member.gid, _MAX_ID),
        (b"size", member.size, _MAX_LONG),
        (b"mtime", member.mtime, _MAX_LONG),
    ):
        if not 0 <= number <= most:
            records.append((key, b"%d" % number))
    for attribute, value in sorted(member.xattrs.items()):
        if "=" in attribute:
            raise ValueError(f"a tar can't hold an attribute named {attribute!r}")
        records.append((_XATTR + attribute.encode("utf-8", "surrogateescape"), value))
    return records


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    digits = len(b"%d" % len(rest))
    if len(b"%d" % (len(rest) + digits)) > digits:
        digits += 1
    return b"%d" % (len(rest) + digits) + rest


def _block(member: Member, name: bytes, kind: bytes) -> bytes:
    block = bytearray(BLOCK)
    _FIELDS.pack_into(
        block, 0,
        _ascii(name), _octal(member.mode, 7), _octal(member.uid, 7), _octal(member.gid, 7),
        _octal(member.size, 11), _octal(member.mtime, 11), b" " * 8, kind,
        _ascii(member.linkname), b"ustar\x0000", b"", b"",
        _octal(member.major, 7), _octal(member.minor, 7), b"",
    )  # fmt: skip
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


def _octal(number: int, digits: int) -> bytes:
    """Write a number; zero for one that doesn't fit, which a PAX record tells."""
    return b"%0*o\0" % (digits, number if 0 <= number < 8**digits else 0)


def _ascii(name: bytes) -> bytes:
    """Keep of a name what the field can hold; a PAX record tells the rest."""
    return (name if name.isascii() else bytes(c & 0x7F or 0x5F for c in name))[:_NAME]
