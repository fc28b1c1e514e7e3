"""Sparse members: maps that lie, claim to be huge, never end or lead out.

Published as CVE-2025-58183 (Go: sparse maps without bounds), and as bombs of holes.
"""

from __future__ import annotations

from layerstore import InvalidTar, LimitExceeded
from tests.ordeals.hostile.attack import Applied, Attack, Refused, attack
from tests.ordeals.hostile.attacks import raw

_END = raw.END
_OUT = Refused(InvalidTar, "leads out of the layer")
_LAST = raw.member(b"last", b"end") + _END


def _sparse(
    size: int, sparse_map: bytes, count: int, *, name: bytes = b"", stored: int = 0
) -> bytes:
    pairs = {
        b"GNU.sparse.major": b"0",
        b"GNU.sparse.minor": b"1",
        b"GNU.sparse.size": b"%d" % size,
        b"GNU.sparse.numblocks": b"%d" % count,
        b"GNU.sparse.map": sparse_map,
    }
    if name:
        pairs[b"GNU.sparse.name"] = name
    return raw.pax(pairs) + raw.member(b"sparse", b"s" * stored) + _LAST


def _sparse_1(text: bytes) -> bytes:
    pairs = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"1000"}
    return raw.pax(pairs) + raw.member(b"sparse", raw.padded(text)) + _LAST


def _old_sparse(entries: list[tuple[int, int]], real: int, *, extended: int = 0) -> bytes:
    pairs = b"".join(raw.number(at, 12) + raw.number(count, 12) for at, count in entries)
    header = bytearray(raw.block(b"sparse", b"S", magic=raw.GNU))
    header[386 : 386 + len(pairs)] = pairs
    header[482] = bool(extended)
    header[483:495] = raw.number(real, 12)
    more = bytes(504) + b"\1" + bytes(7)
    blocks = more * (extended - 1) + bytes(512) if extended else b""
    return raw.checked(bytes(header)) + blocks + _LAST


SPARSE: list[Attack] = [
    *(
        attack(f"sparse: {what}", build, outcome)
        for what, build, outcome in (
            (
                "a name that leads out",
                _sparse(9, b"0,3", 1, name=b"../../../../outside/secret", stored=3),
                _OUT,
            ),
            (
                "an exabyte",
                _sparse(1 << 60, b"0,3", 1, stored=3),
                Refused(LimitExceeded, "size of all files"),
            ),
            (
                "more than a terabyte of nothing",
                _sparse((1 << 40) + 1, b"", 0),
                Refused(LimitExceeded, "size of all files"),
            ),
            (
                "pieces that overlap",
                _sparse(9, b"0,3,1,3", 2, stored=6),
                Refused(InvalidTar, "overlap"),
            ),
            (
                "pieces out of order",
                _sparse(9, b"5,1,0,1", 2, stored=2),
                Refused(InvalidTar, "out of order"),
            ),
            (
                "a piece beyond the end",
                _sparse(9, b"8,3", 1, stored=3),
                Refused(InvalidTar, "beyond"),
            ),
            (
                "a piece beyond 64 bits",
                _sparse(9, b"%d,3" % ((1 << 63) - 1), 1, stored=3),
                Refused(InvalidTar, "beyond"),
            ),
            (
                "a piece that is negative",
                _sparse(9, b"0,-3", 1, stored=3),
                Refused(InvalidTar, "wrong"),
            ),
            (
                "fewer pieces than claimed",
                _sparse(9, b"0,3", 1 << 40, stored=3),
                Refused(InvalidTar, "as many"),
            ),
            (
                "more content than pieces",
                _sparse(9, b"0,3", 1, stored=5),
                Refused(InvalidTar, "does not fit"),
            ),
            (
                "a smaller file than its pieces",
                _sparse(2, b"0,3", 1, stored=3),
                Refused(InvalidTar, "beyond"),
            ),
            (
                "a map that claims to be huge",
                _sparse_1(b"999999999\n0\n"),
                Refused(LimitExceeded, "sparse map"),
            ),
            (
                "a map whose count never ends",
                _sparse_1(b"9" * 2_000_000),
                Refused(LimitExceeded, "sparse map"),
            ),
            ("a map of line breaks", _sparse_1(b"\n" * 600), Refused(InvalidTar, "wrong")),
            ("a map that is cut off", _sparse_1(b"40\n0\n"), Refused(InvalidTar, "too early")),
            (
                "a directory",
                raw.pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"})
                + raw.member(b"d2/", kind=b"5")
                + _END,
                Refused(InvalidTar, "only regular files"),
            ),
            (
                "an old map that never ends",
                _old_sparse([(0, 0)] * 4, 10, extended=5000),
                Applied({"sparse": bytes(10), "last": b"end"}),
            ),
            (
                "an old map with a negative piece",
                _old_sparse([(0, -5)], 10),
                Refused(InvalidTar, "overlap"),
            ),
            (
                "an old map of an exabyte",
                _old_sparse([(1 << 60, 0)], 1 << 60),
                Refused(LimitExceeded, "size of all files"),
            ),
            (
                "an old map in another format",
                raw.block(b"sparse", b"S") + _LAST,
                Refused(InvalidTar, "not in GNU format"),
            ),
        )
    ),
]
