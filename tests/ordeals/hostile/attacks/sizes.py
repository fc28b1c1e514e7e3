"""Sizes that are lies, and streams that are bombs.

Published as CVE-2017-14992 (docker: zeros behind the end of a layer), CVE-2025-58183 (Go), and as
zip bombs of every kind.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable

import zstandard

from layerstore import InvalidTar, LimitExceeded
from tests.ordeals.hostile.attack import Applied, Attack, Refused, Ways, attack
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import directory, file, tar

_MIB = 1 << 20
_TOO_LARGE = Refused(LimitExceeded, "the size of all files in bytes")
_INFLATED = Refused(LimitExceeded, "the inflated tar's size in bytes")
_RATIO = Refused(LimitExceeded, "the inflated tar's ratio")
_BROKEN = Refused(InvalidTar, "the compressed stream is broken")
_SMALL = tar(file("f", b"x"))


@functools.cache
def _zeros() -> bytes:
    return tar(file("zeros", bytes(24 * _MIB)))


def _packed(pack: Callable[[bytes], bytes]) -> Callable[[Ways], bytes]:
    return lambda _: pack(_zeros())


def _wide_window() -> bytes:
    """Return a zstd frame that wants a window of 2 GiB for a few bytes."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0b0000_0000, (31 - 10) << 3])
    return header + struct.pack("<I", (len(_SMALL) << 3) | 1)[:3] + _SMALL


def _gzip_with_long_name(size: int) -> bytes:
    head = b"\x1f\x8b\x08\x08" + bytes(6)
    body = gzip.compress(_SMALL, mtime=0)[10:]
    return head + b"n" * size + b"\0" + body


_PACKERS = {
    "gzip": lambda data: gzip.compress(data, 9),
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}

SIZES: list[Attack] = [
    *(
        attack(f"a claim of {size} bytes", raw.block(b"f", size=size) + bytes(1000), outcome)
        for size, outcome in (
            (1001, Refused(InvalidTar, "too early")),
            (1 << 39, Refused(InvalidTar, "too early")),
            ((1 << 40) + 1, _TOO_LARGE),
            ((1 << 63) - 1, _TOO_LARGE),
            (1 << 64, Refused(InvalidTar, "too large")),
            (-1, Refused(InvalidTar, "negative")),
        )
    ),
    attack("files that claim too much together", raw.member(b"a", b"1" * 600)
           + raw.member(b"b", b"1" * 600) + raw.END, _TOO_LARGE, max_bytes=1000),
    attack("a size that isn't octal",
           raw.checked(raw.block(b"f")[:124] + b"99999999999\0" + raw.block(b"f")[136:]),
           Refused(InvalidTar, "not octal")),
    attack("more entries than allowed",
           b"".join(raw.block(b"%d" % number) for number in range(1001)) + raw.END,
           Refused(LimitExceeded, "the number of entries exceeds the limit of 1000"),
           max_entries=1000),
    attack("the same entry more often than allowed", raw.block(b"d/", b"5") * 1001 + raw.END,
           Refused(LimitExceeded, "the number of entries"), max_entries=1000),
    *(
        attack(f"a bomb in {name}", _packed(pack), _TOO_LARGE, max_bytes=16 * _MIB)
        for name, pack in _PACKERS.items()
    ),
    *(
        attack(f"a bomb in {name}, by its ratio", _packed(pack), _RATIO, max_ratio=50,
               ratio_from=_MIB)
        for name, pack in _PACKERS.items()
    ),
    attack("a bomb in pieces, each of them small",
           lambda _: gzip.compress(raw.block(b"f", size=24 * _MIB))
           + gzip.compress(bytes(_MIB)) * 24,
           _TOO_LARGE, max_bytes=16 * _MIB),
    attack("zeros behind the end", lambda _: gzip.compress(_SMALL + bytes(24 * _MIB)),
           _INFLATED, max_bytes=16 * _MIB),
    attack("a bomb in a bomb", lambda _: gzip.compress(gzip.compress(_zeros())),
           Refused(InvalidTar, "not a tar header")),
    attack("a window of 2 GiB", _wide_window(), _BROKEN),
    attack("frames that are skipped",
           zstandard.compress(_SMALL[:512])
           + (struct.pack("<II", 0x184D2A50, 1 << 16) + bytes(1 << 16)) * 16
           + zstandard.compress(_SMALL[512:]), Applied({"f": b"x"})),
    attack("a frame to skip that claims 4 GiB",
           zstandard.compress(_SMALL) + struct.pack("<II", 0x184D2A50, 0xFFFFFFFF) + b"x",
           Applied({"f": b"x"})),
    attack("a name of a megabyte in the gzip header", _gzip_with_long_name(_MIB), _BROKEN),
    attack("a name of 100 KiB in the gzip header", _gzip_with_long_name(100 << 10),
           Applied({"f": b"x"})),
    attack("garbage behind gzip", gzip.compress(_SMALL) + b"garbage" * 100, _BROKEN),
    attack("a checksum that is wrong", gzip.compress(_SMALL)[:-8] + bytes(8), _BROKEN),
    attack("gzip cut off", gzip.compress(_SMALL)[:-12], _BROKEN),
    attack("a header only", b"\x1f\x8b\x08", _BROKEN),
    attack("deflate that is none", gzip.compress(_SMALL)[:10] + zlib.compress(_SMALL), _BROKEN),
    attack("nothing at all", b"", Applied()),
    attack("a hundred directories deep, a thousand times",
           tar(*(directory(f"d{number}/" + "e/" * 100) for number in range(20))),
           Applied({"d0/e/e/e": None})),
]  # fmt: skip
