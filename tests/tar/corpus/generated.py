"""Generated tars: members of every kind one after the other, and every kind of end.

Owns what a whole archive is put together from; its headers are `strategies`' business.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.tar.corpus.strategies import (
    block,
    long_name,
    long_names,
    mostly,
    names,
    padded,
    records,
    targets,
)

_KINDS = [bytes([kind]) for kind in b"0000000007\0\x00555222111346"]
_ODD_KINDS = [bytes([kind]) for kind in b"VMDNXZ\xff"]
_WITH_CONTENT = b"0\x007VMDNXZ\xff"
_Map = list[tuple[int, int]]


@st.composite
def sparse_maps(draw: st.DrawFn) -> tuple[_Map, int]:
    """A map and the size of its file; now and then one that does not fit."""
    pieces: _Map = []
    at = 0
    for _ in range(draw(st.sampled_from([0, 1, 2, 4, 5, 26]))):
        at += draw(st.integers(0, 700))
        length = draw(st.integers(0, 600))
        pieces.append((at, length))
        at += length
    size = at + draw(st.integers(0, 2000))
    if pieces and draw(st.integers(0, 19)) == 0:
        pieces[-1] = (pieces[-1][0], draw(st.integers(0, 3000)))
    return pieces, size


def _old_gnu(draw: st.DrawFn, name: bytes, pieces: _Map, size: int, content: bytes) -> bytes:
    pairs = [b"%011o\0%011o\0" % pair for pair in pieces]
    inside, rest = pairs[:4], pairs[4:]
    area = b"".join(inside).ljust(96, b"\0") + (b"\1" if rest else b"\0") + b"%011o\0" % size
    found = block(draw, b"S", name, b"", len(content), area, magic=b"ustar  \0")
    while rest:
        inside, rest = rest[:21], rest[21:]
        more = b"\1" if rest else b"\0"
        found += (b"".join(inside).ljust(504, b"\0") + more).ljust(512, b"\0")
    return found


def _pax_sparse(draw: st.DrawFn, name: bytes, pieces: _Map, size: int, content: bytes) -> bytes:
    form = draw(st.sampled_from([b"0.0", b"0.1", b"1.0"]))
    numbers = [b"%d" % number for pair in pieces for number in pair]
    about = [
        (b"GNU.sparse.major", form[:1]),
        (b"GNU.sparse.minor", form[2:]),
        (draw(st.sampled_from([b"GNU.sparse.size", b"GNU.sparse.realsize"])), b"%d" % size),
    ]
    if form == b"1.0":
        text = b"\n".join([b"%d" % len(pieces), *numbers, b""])
        content = text + bytes(-len(text) % 512) + content
        about.append((b"GNU.sparse.name", draw(names)))
    else:
        about.append((b"GNU.sparse.numblocks", b"%d" % len(pieces)))
        if form == b"0.1":
            about.append((b"GNU.sparse.map", b",".join(numbers)))
        else:
            keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
            about += [(keys[n % 2], number) for n, number in enumerate(numbers)]
    front = draw(records(about))
    return front + block(draw, b"0", name, b"", len(content)) + padded(draw, content)


@st.composite
def sparse_members(draw: st.DrawFn) -> bytes:
    name = draw(names)
    pieces, size = draw(sparse_maps())
    content = b"s" * sum(length for _, length in pieces)
    if draw(st.booleans()):
        return _pax_sparse(draw, name, pieces, size, content)
    return _old_gnu(draw, name, pieces, size, content) + padded(draw, content)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """A member with up to two headers in front of it."""
    front = b"".join(draw(st.lists(st.one_of(records([]), long_name()), max_size=1)))
    kind = draw(mostly(st.sampled_from(_KINDS), st.sampled_from(_ODD_KINDS)))
    name = draw(st.one_of(names, names, long_names))[:100]
    target = draw(targets) if kind in b"12" else b""
    content = draw(st.binary(max_size=8)) * draw(st.sampled_from([0, 1, 1, 64, 200]))
    if kind not in _WITH_CONTENT:
        claimed = len(content) if draw(st.integers(0, 9)) == 0 else 0
        return front + block(draw, kind, name, target, claimed)
    return front + block(draw, kind, name, target, len(content)) + padded(draw, content)


@st.composite
def ends(draw: st.DrawFn) -> bytes:
    """Nothing, too few or too many blocks of zeros, and what may follow them."""
    zeros = bytes(draw(st.sampled_from([0, 512, 1024, 1024, 1024, 1536, 10240, 1300])))
    garbage = draw(st.sampled_from([b"", b"", b"", b"", b"x", b"garbage" * 300, b"\0" * 77 + b"x"]))
    if garbage and len(zeros) < 1024 and draw(st.integers(0, 9)):
        return zeros
    return zeros + garbage


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """A tar of a few members; now and then two of them, one behind the other, or one cut off."""
    one = st.one_of(members(), members(), members(), sparse_members())
    found = b"".join(draw(st.lists(one, max_size=6))) + draw(ends())
    if draw(st.integers(0, 9)) == 0:
        found += b"".join(draw(st.lists(one, max_size=2))) + draw(ends())
    if draw(st.integers(0, 9)) == 0:
        found = found[: draw(st.integers(0, len(found)))]
    return found
