"""A corpus of tars: what each writer makes of a tree, and each oddity that a tar may have.

Owns how the archives are made. What must be true of them is the tests' business.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.tar.corpus import reference as tar_reference
from tests.tar.corpus.builder import directory, file, link, symlink, tar
from tests.tar.corpus.odd import ODD
from tests.tar.corpus.reference import Reference

EQUAL = "line for line as the reference"
KEPT = "other lines, since the reference could not give the tar back from its own"
OURS = "only ours takes it"
THEIRS = "only the reference takes it"
NEITHER = "neither takes it"


@dataclass
class Workshop:
    """What the makers of archives work with."""

    place: Path
    """An empty directory."""
    reference: Reference | None

    def plain(self) -> Path:
        """Make a tree that every format can hold."""
        root = self.place / "plain"
        (root / "sub/deep").mkdir(parents=True)
        (root / "sub/file").write_bytes(b"abc" * 1000)
        (root / "sub/block").write_bytes(b"b" * 512)
        (root / "sub/deep/empty").touch()
        (root / "link").symlink_to("sub/file")
        (root / "hard").hardlink_to(root / "sub/file")
        (root / "set-user").write_bytes(b"x")
        os.chown(root / "set-user", 100, 200)
        (root / "set-user").chmod(0o4755)
        return root

    def rich(self) -> Path:
        """Make a tree that needs every extension of the formats."""
        root = self.plain()
        long = root / ("d" * 90) / ("e" * 90)
        long.mkdir(parents=True)
        (long / ("f" * 120)).write_bytes(b"long")
        (root / "far").symlink_to("t" * 150)
        (root / "z-hard").hardlink_to(long / ("f" * 120))
        (root / "h\N{LATIN SMALL LETTER U WITH DIAERESIS}lle <&>").write_bytes(b"utf-8")
        os.mkfifo(root / "pipe")
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
        return root

    def holes(self) -> Path:
        """Make a tree of files with holes."""
        root = self.plain()
        for name, count, size in (("a", 0, 1 << 20), ("b", 3, 1 << 20), ("c", 40, 5 << 20)):
            with (root / f"sparse-{name}").open("wb") as out:
                for number in range(count):
                    out.seek(number * 100_000)
                    out.write(b"data" * 1000)
                out.truncate(size)
        (root / "tail").write_bytes(b"after the holes")
        return root


Make = Callable[[Workshop], bytes]


@dataclass(frozen=True)
class Case:
    """One archive: how to make it, with which programs, and what the reference thinks of it."""

    name: str
    make: Make
    needs: tuple[str, ...] = ()
    verdict: str = EQUAL


def run(command: list[str], given: bytes = b"", cwd: Path | None = None) -> bytes:
    return subprocess.run(
        command, check=True, input=given, stdout=subprocess.PIPE, cwd=cwd, timeout=60
    ).stdout


def _gnu(tree: str, *options: str) -> Make:
    def make(shop: Workshop) -> bytes:
        root: Path = getattr(shop, tree)()
        return run(["tar", "-c", *options, "-C", str(root), "."])

    return make


def _bsd(tree: str, form: str) -> Make:
    def make(shop: Workshop) -> bytes:
        root: Path = getattr(shop, tree)()
        return run(["bsdtar", "-c", f"--format={form}", "-f", "-", "-C", str(root), "."])

    return make


def _names(root: Path) -> bytes:
    return b"".join(b"%b\n" % os.fsencode(p.relative_to(root)) for p in sorted(root.rglob("*")))


def _cpio(tree: str, form: str) -> Make:
    def make(shop: Workshop) -> bytes:
        root: Path = getattr(shop, tree)()
        return run(["cpio", "-o", "--quiet", "-H", form], _names(root), root)

    return make


def _converted(cpio: Make, form: str) -> Make:
    def make(shop: Workshop) -> bytes:
        archive = shop.place / "in.cpio"
        archive.write_bytes(cpio(shop))
        return run(["bsdtar", "-c", f"--format={form}", "-f", "-", f"@{archive}"])

    return make


def _busybox_tar(shop: Workshop) -> bytes:
    return run(["busybox", "tar", "-c", "-f", "-", "-C", str(shop.plain()), "."])


def _busybox_cpio(shop: Workshop) -> bytes:
    root = shop.plain()
    return run(["busybox", "cpio", "-o", "-H", "newc"], _names(root), root)


def _pax(shop: Workshop) -> bytes:
    root = shop.plain()
    return run(["pax", "-w", "-d", "-x", "ustar"], _names(root), root)


def _python(form: int) -> Make:
    def make(shop: Workshop) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            archive.add(shop.plain() if form == tarfile.USTAR_FORMAT else shop.rich(), ".")
        return buffer.getvalue()

    return make


def _go(tree: str, form: str) -> Make:
    def make(shop: Workshop) -> bytes:
        assert shop.reference is not None
        root: Path = getattr(shop, tree)()
        return shop.reference.write(form, root)

    return make


def _large(shop: Workshop) -> bytes:
    members = [directory(f"d{number}/") for number in range(20)]
    members += [file(f"d{n % 20}/f{n}", b"%d" % n * (n % 700)) for n in range(2000)]
    members += [file("large", bytes(range(256)) * 20_000), link("again", "large")]
    return tar(*members, symlink("s", "d1")) + b"after the end" * 200_000


_GO = ("go", tar_reference.SOURCES)
_TOOLS = [
    *[
        Case(f"GNU tar, {form}", _gnu(tree, f"--format={form}"), ("tar",))
        for form, tree in (
            ("v7", "plain"), ("oldgnu", "rich"), ("gnu", "rich"), ("ustar", "plain"),
            ("posix", "rich"),
        )
    ],
    *[
        Case(f"GNU tar, sparse {form}", _gnu("holes", "-S", *options), ("tar",), KEPT)
        for form, options in (
            ("old", ["--format=gnu"]),
            ("0.0", ["--format=posix", "--sparse-version=0.0"]),
            ("0.1", ["--format=posix", "--sparse-version=0.1"]),
            ("1.0", ["--format=posix", "--sparse-version=1.0"]),
        )
    ],
    Case(
        "GNU tar, base-256 owner",
        _gnu("plain", "--format=gnu", "--owner=u:3000000000", "--group=g:4000000000"),
        ("tar",),
    ),
    Case("GNU tar, one record a block", _gnu("plain", "-b1"), ("tar",)),
    Case(
        "GNU tar, global header",
        _gnu("plain", "--format=posix", "--pax-option=comment=hello"),
        ("tar",),
    ),
    Case(
        "GNU tar, incremental",
        _gnu("plain", "--format=gnu", "-G"),
        ("tar",),
        THEIRS,
    ),
    Case("GNU tar, volume label", _gnu("plain", "--format=gnu", "--label=x"), ("tar",), THEIRS),
    *[
        Case(f"bsdtar, {form}", _bsd(tree, form), ("bsdtar",), verdict)
        for form, tree, verdict in (
            ("v7tar", "plain", EQUAL), ("ustar", "plain", EQUAL), ("gnutar", "rich", EQUAL),
            ("pax", "rich", EQUAL), ("pax", "holes", KEPT),
        )
    ],
    Case("busybox tar", _busybox_tar, ("busybox",)),
    Case("busybox cpio by bsdtar", _converted(_busybox_cpio, "pax"), ("busybox", "bsdtar")),
    *[
        Case(f"cpio {form} by bsdtar", _converted(_cpio("rich", form), "pax"), ("cpio", "bsdtar"))
        for form in ("newc", "odc")
    ],
    Case("cpio, ustar", _cpio("plain", "ustar"), ("cpio",)),
    Case("cpio, old tar", _cpio("plain", "tar"), ("cpio",)),
    Case("pax", _pax, ("pax",)),
    Case("Python, ustar", _python(tarfile.USTAR_FORMAT)),
    Case("Python, GNU", _python(tarfile.GNU_FORMAT)),
    Case("Python, PAX", _python(tarfile.PAX_FORMAT)),
    Case("Go as docker, PAX", _go("rich", "pax"), _GO),
    Case("Go, GNU", _go("rich", "gnu"), _GO),
    Case("Go, ustar", _go("plain", "ustar"), _GO),
    Case("several MiB", _large),
]  # fmt: skip


def _given(data: bytes) -> Make:
    return lambda _: data


CASES = [*_TOOLS, *[Case(name, _given(data), (), verdict) for name, data, verdict in ODD]]
PROGRAMS = sorted({program for case in CASES for program in case.needs})
