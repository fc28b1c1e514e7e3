"""Small tars to begin with, one for everything that a reader knows, and checksums put right."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import directory, file, link, symlink, tar

_BLOCK = 512


def repaired(data: bytes) -> bytes:
    """Put the right checksum into every block that seems to be a header.

    Else nearly every change would only be found to have broken a checksum.
    """
    found = bytearray(data)
    for start in range(0, len(data) - _BLOCK + 1, _BLOCK):
        block = found[start : start + _BLOCK]
        if block[257:262] == b"ustar" or (any(block[:100]) and block[148:154].isdigit()):
            found[start : start + _BLOCK] = raw.checked(bytes(block))
    return bytes(found)


def sample_tars() -> Iterator[bytes]:
    """Give tars without the zeros that tarfile adds."""
    members = [
        directory("d/"),
        file("d/f", b"content" * 20),
        link("h", "d/f"),
        symlink("s", "d"),
        file("s/g", b"more"),
        file("d/.wh.x"),
        file("d/.wh..wh..opq"),
        file("c", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        file("p", type=tarfile.FIFOTYPE),
    ]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        yield _short(tar(*members, form=form))
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        yield _short(tar(file("n" * 120, b"x"), symlink("l", "t" * 120), form=form))
    yield _short(tar(file("a" * 90 + "/" + "n" * 90), form=tarfile.USTAR_FORMAT))
    pax = {
        b"path": b"other", b"size": b"3", b"uid": b"7", b"gid": b"8", b"mtime": b"1.5",
        b"atime": b"-1.25", b"SCHILY.xattr.user.x": b"y", b"linkpath": b"f",
    }  # fmt: skip
    yield raw.pax(pax) + raw.member(b"f", b"abc") + raw.END
    yield raw.pax({b"comment": b"x"}, b"g") + raw.long_name(b"long") + raw.member(b"f") + raw.END
    yield raw.long_name(b"target", b"K") + raw.member(b"l", kind=b"2") + raw.END
    for version in (b"0", b"1"):
        yield _sparse(version)
    header = bytearray(raw.block(b"sparse", b"S", size=4, magic=raw.GNU))
    header[386:410] = raw.number(2, 12) + raw.number(4, 12)
    header[483:495] = raw.number(100, 12)
    yield raw.checked(bytes(header)) + raw.padded(b"data") + raw.END
    yield b""


def _sparse(version: bytes) -> bytes:
    pairs = {b"GNU.sparse.major": version, b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"holes"}
    if version == b"1":
        content = raw.padded(b"1\n2\n4\n") + b"data"
        return (
            raw.pax({**pairs, b"GNU.sparse.realsize": b"9"}) + raw.member(b"x", content) + raw.END
        )
    more = {b"GNU.sparse.size": b"9", b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"2,4"}
    return raw.pax({**pairs, **more}) + raw.member(b"x", b"data") + raw.END


def _short(data: bytes) -> bytes:
    while data.endswith(bytes(_BLOCK * 3)):
        data = data[:-_BLOCK]
    return data
