"""Tar headers byte by byte, for what no writer of tars would write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

END = bytes(1024)
PAX, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
Records = Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]


def number(value: int, width: int) -> bytes:
    """Spell a number in octal, or in base-256 where it doesn't fit."""
    text = b"%0*o\0" % (width - 1, value) if value >= 0 else b""
    if text and len(text) == width:
        return text
    return (value & ((1 << (8 * width - 1)) - 1) | 1 << (8 * width - 1)).to_bytes(width, "big")


def block(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int = 0,
    link: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    magic: bytes = PAX,
    device: tuple[int, int] = (0, 0),
    prefix: bytes = b"",
) -> bytes:
    """Return one header block with the right checksum."""
    fields = (
        name[:100].ljust(100, b"\0"),
        number(mode, 8), number(uid, 8), number(0, 8), number(size, 12), number(1_600_000_000, 12),
        b" " * 8, kind, link[:100].ljust(100, b"\0"), magic, bytes(64),
        number(device[0], 8), number(device[1], 8), prefix[:155].ljust(155, b"\0"), bytes(12),
    )  # fmt: skip
    return checked(b"".join(fields))


def checked(header: bytes) -> bytes:
    """Put the right checksum into a header block."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


def padded(content: bytes) -> bytes:
    """Fill up the last block."""
    return content + bytes(-len(content) % 512)


def member(name: bytes, content: bytes = b"", kind: bytes = b"0", **fields: object) -> bytes:
    """Return a header and content; `size` in the header may be another one than the content's."""
    size = fields.pop("size", len(content))
    return block(name, kind, size=size, **fields) + padded(content)  # type: ignore[arg-type]


def records(pairs: Records) -> bytes:
    """Spell PAX records with right lengths; a key may come twice where pairs are given."""
    found = b""
    for key, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while length != len(body) + len(b"%d" % length):
            length = len(body) + len(b"%d" % length)
        found += b"%d" % length + body
    return found


def pax(pairs: Records, kind: bytes = b"x") -> bytes:
    """Return an extended header for the next member, or with kind `g` a global one."""
    return member(b"PaxHeaders/x", records(pairs), kind)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """Return a GNU long name, or with kind `K` a long link target, for the next member."""
    return member(b"././@LongLink", name + b"\0", kind, magic=GNU)
