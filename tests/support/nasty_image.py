"""An image that is small and hard to unpack: one of everything that a layer's tar may hold.

Its layers are made by code alone, so that they are the same bytes each time.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.tar.corpus.builder import Member, directory, file, link, symlink, tar

LONG_NAME = "日本" * 41 + "abcd"
"""250 bytes."""
NOT_UTF8 = os.fsdecode(b"not-utf8-\xff\xfe-\xe4")
_CAPABILITY = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
_PARENTS = ("", "etc", "usr", "usr/bin", "dev", "var", "names", "links")


def link_across_layers() -> bytes:
    """Return a layer with a hard link to a file that only a layer below it holds."""
    return tar(link("links/across", "etc/far", **at("5000000000.25")))


def nasty_layers() -> list[bytes]:
    """Return the image's layers, the lowest first."""
    layers = [tar(*members) for members in (_base(), _removals(), _replacements(), _returns())]
    return [*layers, _sparse()]


def at(seconds: str, **xattrs: str) -> dict[str, Any]:
    """Return fields that set a time, in decimal seconds, and extended attributes `user_name`."""
    records = {f"SCHILY.xattr.{key.replace('_', '.', 1)}": value for key, value in xattrs.items()}
    return {"pax_headers": {"mtime": seconds, **records}}


def _base() -> Iterator[Member]:
    for number, name in enumerate(_PARENTS):
        yield directory(f"{name}/" if name else "./", **at(f"1500000000.00000000{number}"))
    yield directory("tmp/", mode=0o1777, **at("1400000000.123456789"))
    yield file("etc/passwd", b"root:x:0:0\n", **at("1500000001.000000001"))
    yield file("etc/empty", mode=0o600, **at("1500000002.999999999"))
    yield file("etc/old", b"from before 1970", **at("-86400.5"))
    yield file("etc/far", b"from after 2106", **at("5000000000.25"))
    yield file("usr/bin/su", b"#!/bin/su\n", mode=0o4755, uid=70_000, gid=3_000_000_000)
    yield file("usr/bin/wall", b"#!/bin/wall\n", mode=0o2711, gid=5)
    yield file("usr/bin/ping", b"x", **at("1500000003", security_capability=_CAPABILITY))
    yield directory("var/mail/", mode=0o2775, uid=65_534, gid=8, **at("1", user_note="of a dir"))
    yield file("var/none", b"", mode=0, **at("0"))
    yield from _nodes()
    yield from _names()
    yield from _links()
    for top in ("gone", "opaque", "emptied", "becomes-file", "becomes-link", "kept", "both"):
        yield directory(f"{top}/", uid=11, gid=12, mode=0o751, **at("1500000004.5"))
        yield directory(f"{top}/sub/", uid=11, mode=0o750, **at("1500000004.75"))
        yield directory(f"{top}/sub/deeper/", uid=11, mode=0o750, **at("1500000004.875"))
        for leaf in ("a", "b", "sub/c", "sub/deeper/d"):
            yield file(f"{top}/{leaf}", leaf.encode(), uid=13, **at("1500000005.25"))
    yield file("becomes-directory", b"a file")
    yield symlink("link-becomes-directory", "kept")
    yield file("implicit/parents/file", b"nobody made my directories", uid=9)
    for depth in range(1, 60):
        yield directory("deep/" * depth, **at(f"15000000{depth:02}.75"))
    yield file("deep/" * 59 + "bottom", b"deep down", **at("1500000006.75"))


def _nodes() -> Iterator[Member]:
    for name, kind, major, minor, mode in (
        ("null", tarfile.CHRTYPE, 1, 3, 0o666),
        ("large", tarfile.CHRTYPE, 4095, 1_048_575, 0o600),
        ("disk", tarfile.BLKTYPE, 259, 70_000, 0o660),
        ("pipe", tarfile.FIFOTYPE, 0, 0, 0o1622),
    ):
        fields = at("1500000007.000000007")
        member = directory(f"dev/{name}", mode=mode, gid=6, **fields)
        member.info.type, member.info.devmajor, member.info.devminor = kind, major, minor
        yield member
    yield link("dev/null-again", "dev/null", mode=0o666, gid=6, **at("1500000007.000000007"))
    yield link("dev/pipe-again", "dev/pipe", mode=0o1622, gid=6, **at("1500000007.000000007"))


def _names() -> Iterator[Member]:
    for name in (
        LONG_NAME,
        NOT_UTF8,
        "spaces and\ttabs\nand lines",
        "back\\slash",
        "-rf",
        "ü" * 90,
    ):
        yield file(f"names/{name}", name.encode("utf-8", "surrogateescape"))
    for depth in range(1, 12):
        yield directory("names/" + "/".join(["x" * 200] * depth), **at("1500000008.5"))
    yield file("names/" + "/".join(["x" * 200] * 12), b"a path of 2,400 bytes")
    for number, target in enumerate(("x" * 100, "x" * 101, "../" * 600 + NOT_UTF8, "日本語")):
        yield symlink(f"names/link{number}", target, uid=14, **at(f"150000000{number}.125"))
    yield symlink("names/dangling", "/no/where", **at("1500000009", trusted_of="a link"))
    yield file("names/.wh", b"no whiteout")
    yield file("names/wh..wh.x", b"no whiteout either")


def _links() -> Iterator[Member]:
    fields: dict[str, Any] = {"mode": 0o640, "uid": 21, **at("1500000010.000000001")}
    yield file("links/1", b"one of three", **fields)
    for name in ("links/2", "var/3"):
        yield link(name, "links/1", **fields)
    yield symlink("links/soft", "1", **at("1500000011.5"))
    yield link("links/soft-again", "links/soft", **at("1500000011.5"))


def _removals() -> Iterator[Member]:
    yield file(".wh.gone")
    yield file("kept/.wh.a")
    yield file("kept/sub/.wh.deeper")
    yield file("etc/.wh.never-was-there")
    yield directory("opaque/", mode=0o700, uid=31, **at("1500000020.000000002"))
    yield file("opaque/.wh..wh..opq")
    yield file("opaque/new", b"after", **at("1500000021.5"))
    yield directory("opaque/sub/", mode=0o711, **at("1500000022.5"))
    yield directory("emptied/", mode=0o705, **at("1500000023.5"))
    yield file("emptied/.wh..wh..opq")
    yield file("links/.wh.1")


def _replacements() -> Iterator[Member]:
    yield file("becomes-file", b"was a directory", mode=0o4700, **at("1500000030.5"))
    yield symlink("becomes-link", "kept", **at("1500000031.5"))
    yield directory("becomes-directory/", mode=0o3777, **at("1500000032.5"))
    yield file("becomes-directory/inside", b"was a file", **at("1500000033.5"))
    yield directory("link-becomes-directory/", mode=0o711, **at("1500000034.5"))
    yield file("link-becomes-directory/inside", b"was a link", **at("1500000035.5"))
    yield file("etc/passwd", b"root:x:0:0\ngone:x\n", **at("1500000036.000000001", user_a="b"))
    yield directory("var/mail/", mode=0o755, uid=1, **at("1500000037.000000007"))
    yield symlink("dev/null", "zero", **at("1500000038.5"))
    yield file("names/added", b"the directory isn't in this layer")


def _returns() -> Iterator[Member]:
    yield directory("gone/", mode=0o700, uid=41, **at("1500000040.5"))
    yield file("gone/a", b"back again", **at("1500000041.5"))
    yield directory("kept/sub/deeper/", **at("1500000042.5"))
    yield file("links/1", b"alone now", **at("1500000043.5"))
    yield file("both/.wh..wh..opq")
    yield directory("both/sub/", mode=0o711, **at("1500000044.5"))
    yield file("both/sub/e", b"the only one", **at("1500000045.5"))
    yield file("etc/.wh.empty")


def _sparse() -> bytes:
    """Return a layer with a file of mostly holes, as GNU tar writes it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "holes")
        with path.open("wb") as out:
            for offset in (65_536, 1 << 18, 3 << 18):
                out.seek(offset)
                out.write(b"data" * 5000)
            out.truncate(1 << 20)
        path.chmod(stat.S_ISVTX | 0o600)
        command = ["tar", "-c", "--sparse", "--format=posix", "--sparse-version=1.0"]
        options = ["--pax-option=delete=atime,delete=ctime", "--mtime=@1500000050.5", "--owner=0"]
        packed = [*command, *options, "--group=0", "-C", place, "holes"]
        return subprocess.run(packed, check=True, stdout=subprocess.PIPE).stdout
