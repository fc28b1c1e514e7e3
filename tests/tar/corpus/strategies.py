"""Generated tars: headers of every kind and oddity, well formed block by block.

Owns what hypothesis may put together. Sizes are small, since a reader may make a file of any size
that a header claims.
"""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from tests.tar.corpus.odd import checked

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_MAGICS = [b"ustar\x0000", b"ustar  \0", b"\0" * 8, b"ustar\x00\x00\x00"]
_SMALL = st.integers(0, 1200)

_ODD_TARGETS = [b"/d", b"../d", b"../../etc", b"/", b"l", b"", b".wh..wh.plnk/1"]
plain_names = st.sampled_from(
    [b"a", b"b", b"d/a", b"d/b", b"d", b"d/", b"l", b"l/a", b"e/f/a", b"./a", b"/a", b"a/", b"./"]
)
odd_names = st.sampled_from(
    [
        b"d/../a", b"/d//b", b"../a", b"/../b", b"", b".", b"a\xff", b"d/\xe9/a", b"n" * 99,
        b"l/../a", b".wh.a", b"d/.wh.b", b"d/.wh..wh..opq", b".wh..wh.aufs", b".wh.", b"q\"<\\>&",
        b"d/.wh..", b".wh..wh.plnk/1", b"d/./a/", b"d/\xe2\x80\xa8", b"d/b/c/e/f",
    ]
)  # fmt: skip
long_names = st.builds(lambda a, n: a + b"x" * n, plain_names, st.integers(90, 300))
names = st.one_of(plain_names, plain_names, plain_names, plain_names, odd_names)
targets = st.one_of(plain_names, st.sampled_from(_ODD_TARGETS))


def number(value: int, width: int, form: int) -> bytes:
    """Spell a number as any writer would; `form` is from 0 to 5."""
    if form == 0:
        return (value | 1 << (width * 8 - 1)).to_bytes(width, "big")
    text = b"%0*o" % (width - 1, value)
    ends = [text + b"\0", text + b" ", b" " + text, text[1:] + b" \0", b"%o" % value]
    return ends[form - 1][:width].ljust(width, b"\0")


def odd_number(draw: st.DrawFn, width: int) -> bytes:
    """Fill a number field as no writer would."""
    some = [b"\x80", b"\xff" * width, b"\xc0", b"8", b" ", b"7" * width, b"1\x002", b"-1", b"\0 7"]
    binary = [b"\x80" + bytes(max(0, width - 6)) + b"\x01\0\0\0\0", b"\xff" * (width - 1) + b"\xfe"]
    return draw(st.sampled_from([text[:width].ljust(width, b"\0") for text in some + binary]))


def mostly(
    usual: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    return st.integers(0, 99).flatmap(lambda chance: odd if chance == 50 else usual)


def block(
    draw: st.DrawFn,
    kind: bytes,
    name: bytes,
    target: bytes,
    size: int,
    rest: bytes = b"",
    magic: bytes | None = None,
) -> bytes:
    """A header block; `rest` is what lies behind GNU's two times."""

    form, value, odd = draw(st.tuples(st.integers(0, 5), _SMALL, st.integers(0, 299)))

    def field(place: int, width: int) -> bytes:
        return odd_number(draw, width) if odd == 100 + place else number(value, width, form)

    prefix = draw(mostly(st.just(b""), st.sampled_from([b"d", b"e/f", b"\xff", b"1" * 140])))
    fields = (
        name, field(0, 8), field(1, 8), field(2, 8), number(size, 12, form), field(3, 12), b"",
        kind, target, magic or draw(st.sampled_from(_MAGICS)), b"user", b"group",
        field(4, 8), field(5, 8), prefix, b"00000001tar\0" if odd in (110, 111) else b"",
    )  # fmt: skip
    packed = bytearray(_FIELDS.pack(*fields))
    if rest:
        packed[345:512] = (bytes(41) + rest).ljust(167, b"\0")
    return checked(packed)


def padded(draw: st.DrawFn, content: bytes) -> bytes:
    byte = draw(st.sampled_from([b"\0", b"\0", b"\xa5", b"\n"]))
    return content + byte * (-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %b=%b\n" % (length, key, value)


_decimal = mostly(st.sampled_from([b"0", b"1000", b"+7", b"007"]), st.sampled_from([b"-1", b"x"]))
_times = mostly(
    st.sampled_from([b"1.5", b"-1.25", b"0", b"99999999999.999999999999", b"1."]),
    st.sampled_from([b"1e9", b".5"]),
)
_records = st.one_of(
    st.tuples(st.just(b"path"), st.one_of(names, long_names)),
    st.tuples(st.just(b"linkpath"), targets),
    st.tuples(st.sampled_from([b"uid", b"gid"]), _decimal),
    st.tuples(st.sampled_from([b"mtime", b"atime", b"ctime"]), _times),
    st.tuples(st.sampled_from([b"comment", b"hdrcharset", b"\xff"]), st.binary(max_size=20)),
    st.tuples(
        st.sampled_from([b"SCHILY.xattr.user.x", b"SCHILY.xattr.trusted.overlay.opaque",
                         b"SCHILY.xattr.", b"SCHILY.xattr.user." + b"n" * 300,
                         b"SCHILY.xattr.security.capability", b"SCHILY.xattr.user.\xff"]),
        st.binary(max_size=30),
    ),
)  # fmt: skip


@st.composite
def records(draw: st.DrawFn, more: list[tuple[bytes, bytes]]) -> bytes:
    """A PAX header in front of a member, with its records."""
    pairs = draw(st.lists(_records, max_size=3)) + more
    body = b"".join(record(key, value) for key, value in pairs)
    body = draw(mostly(st.just(body), st.sampled_from([body[:-1], body + b"\0", b"6 a=\n\n"])))
    kind = draw(mostly(st.just(b"x"), st.just(b"g")))
    return block(draw, kind, draw(names), b"", len(body)) + padded(draw, body)


@st.composite
def long_name(draw: st.DrawFn) -> bytes:
    """A GNU long name or link in front of a member."""
    body = draw(st.one_of(long_names, names, targets)) + draw(st.sampled_from([b"\0", b"", b"\0z"]))
    kind = draw(st.sampled_from([b"L", b"L", b"K"]))
    return block(draw, kind, b"././@LongLink", b"", len(body)) + padded(draw, body)
