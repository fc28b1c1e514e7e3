"""Tars that no tool should write and some do: odd ends, odd padding, names given twice.

Owns their bytes, and what the reference makes of each (in the words of `corpus`).
"""

from __future__ import annotations

import tarfile

from tests.tar.corpus.builder import Member, directory, file, link, symlink, tar

_EQUAL = "line for line as the reference"
_KEPT = "other lines, since the reference could not give the tar back from its own"
_OURS = "only ours takes it"
_THEIRS = "only the reference takes it"
_NEITHER = "neither takes it"
END = 1024


def joined(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return members without the blocks that end an archive."""
    archive = tar(*members, form=form)
    while archive.endswith(bytes(512)):
        archive = archive[:-512]
    return archive


def header(name: str, content: bytes = b"", **fields: object) -> bytes:
    """Return a GNU header and content with its padding."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def checked(block: bytes | bytearray) -> bytes:
    """Put the right checksum into a header block."""
    found = bytearray(block)
    found[148:156] = b" " * 8
    found[148:156] = b"%06o\0 " % sum(found)
    return bytes(found)


def star(name: str, prefix: bytes, content: bytes) -> bytes:
    """Return a member as star writes it: a shorter prefix, two times, a magic at the end."""
    block = bytearray(header(name, content)[:512])
    block[257:265] = b"ustar\x0000"
    block[345:500] = prefix.ljust(131, b"\0") + b"13000000000 13000000000 "
    block[508:512] = b"tar\0"
    return checked(block) + content + bytes(-len(content) % 512)


def _odd_padding(data: bytes, at: int, count: int) -> bytes:
    return data[:at] + b"\xa5" * count + data[at + count :]


def _claiming(name: str, kind: bytes, target: str = "") -> bytes:
    """Return a member whose header tells a size, though its kind has no content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, 5
    return info.tobuf(tarfile.USTAR_FORMAT)


_BODY = joined(directory("d/"), file("d/f", b"content" * 100), symlink("s", "d/f"))
_ONE = joined(file("f", b"x" * 700))
_SHORT = joined(file("f", b"x"))
_GLOBAL = tar(file("f", b"1"), pax_headers={"comment": "hello"})[: -10240 + 2560]
_ROOT = ".wh..wh.plnk/1.2"

ODD: list[tuple[str, bytes, str]] = [
    ("nothing at all", b"", _EQUAL),
    ("no end", _BODY, _EQUAL),
    ("one block of zeros", _BODY + bytes(512), _EQUAL),
    ("many blocks of zeros", _BODY + bytes(512 * 77), _EQUAL),
    ("not whole blocks of zeros", _BODY + bytes(END + 100), _EQUAL),
    ("one and a half blocks of zeros", _BODY + bytes(700), _NEITHER),
    ("one block of zeros in the middle", _BODY + bytes(512) + _ONE, _NEITHER),
    ("garbage behind the end", _BODY + bytes(END) + b"garbage" * 77, _EQUAL),
    ("garbage in the place of an end", _BODY + b"garbage" * 77, _NEITHER),
    ("megabytes behind the end", _BODY + bytes(END) + b"\0garbage" * 400_000, _EQUAL),
    ("an archive behind the end", _BODY + bytes(END) + _ONE + bytes(END), _EQUAL),
    ("archives joined without an end between", _BODY + _ONE + bytes(END), _EQUAL),
    ("the last padding missing", _ONE[: 512 + 700], _EQUAL),
    # The reference forgets the part of the padding that is there.
    ("the last padding cut", _ONE[: 512 + 710], _KEPT),
    ("content cut", _ONE[: 512 + 690], _NEITHER),
    ("a header cut", _ONE[:500], _NEITHER),
    ("odd padding behind content", _odd_padding(_ONE, 512 + 700, 324) + bytes(END), _EQUAL),
    (
        "odd padding behind a long name",
        _odd_padding(joined(file("n" * 150, b"x"), form=tarfile.GNU_FORMAT), 512 + 200, 200),
        _EQUAL,
    ),
    (
        "odd padding behind PAX records",
        _odd_padding(joined(file("f", b"x", pax_headers={"k": "v"})), 512 + 200, 200),
        _EQUAL,
    ),
    # The reference refuses a name that comes twice; docker can't have such layers.
    ("a file twice", tar(file("a", b"one"), file("a", b"two!")), _OURS),
    ("a file twice, first larger", tar(file("a", b"one" * 999), file("./a", b"two")), _OURS),
    ("a file and a link", tar(file("a", b"one"), symlink("a", "x"), file("a", b"two")), _OURS),
    ("a directory twice", tar(directory("d/"), file("d/f", b"x"), directory("./d/")), _OURS),
    ("archives joined with the same names", _BODY + _BODY, _OURS),
    ("a link over its own target", tar(file("a", b"x"), link("b", "a"), file("b", b"y")), _OURS),
    # An absolute name is another name for the reference, and the same file for everyone.
    ("absolute and relative", tar(file("/a", b"one"), file("a", b"two")), _KEPT),
    ("absolute and relative, same content", tar(file("/a", b"o"), file("a", b"o")), _EQUAL),
    ("unclean names", tar(file("./x/../y", b"1"), file("/z//y", b"2"), file("q/./r")), _EQUAL),
    # The reference keeps no content that is gone in the end.
    ("a directory replaced by a file", tar(file("d/f", b"gone"), file("d", b"x")), _KEPT),
    ("a directory replaced by a link", tar(file("d/f", b"gone"), symlink("d", "x")), _KEPT),
    ("content of a whiteout", tar(file(".wh.x", b"why not"), file("y", b"z")), _KEPT),
    ("content of AUFS's own", tar(file(_ROOT, b"inode"), file("y", b"z")), _KEPT),
    ("whiteouts", tar(file("d/.wh.x"), file("e/.wh..wh..opq"), file("e/f", b"x")), _EQUAL),
    ("a whiteout and what it names", tar(file("x", b"stays"), file(".wh.x")), _EQUAL),
    # The reference reads the whole target where the member had no content.
    ("a hard link with a size", _SHORT + _claiming("h", b"1", "f") + bytes(END), _KEPT),
    ("a directory with a size", _SHORT + _claiming("d/", b"5") + bytes(END), _KEPT),
    ("a symbolic link with a size", _SHORT + _claiming("l", b"2", "nowhere") + bytes(END), _KEPT),
    ("a relative alias", tar(directory("d/"), symlink("l", "d"), file("l/f", b"x")), _EQUAL),
    # docker would look for the file in the machine's own root.
    ("an absolute alias", tar(directory("d/"), symlink("l", "/d"), file("l/f", b"x")), _KEPT),
    # docker joins the name to the layer's root, and would look beside it.
    ("an absolute name that leads up", tar(file("/../b", b"x"), file("/a/../c", b"y")), _KEPT),
    (
        "an alias that changes",
        tar(symlink("l", "/d"), directory("d/"), file("l/f", b"x"), file("d/f", b"yy")),
        _KEPT,
    ),
    ("a name that is not UTF-8", header("caf\udce9", b"x"), _EQUAL),
    ("characters that JSON escapes", header('q"\\<>&\u2028\t\x7f\b\x1f', b"x"), _EQUAL),
    ("a contiguous file", header("c", b"x", type=b"7"), _EQUAL),
    ("an old directory", header("d/", type=b"\0") + header("f", b"1", type=b"\0"), _EQUAL),
    ("star", star("f", b"", b"x") + star("g", b"pre/fix", b"y" * 600) + bytes(END), _EQUAL),
    ("global header", _GLOBAL, _EQUAL),
    ("global header twice", _GLOBAL[:1024] + _GLOBAL, _OURS),
    (
        "a global header with a path",
        tar(file("f", b"1"), pax_headers={"path": "elsewhere"})[:1024] + _ONE,
        _EQUAL,
    ),
    # The reference takes this for an end; the member that the records speak of is missing.
    ("records without a member", joined(file("f", pax_headers={"k": "v"}))[:1024], _THEIRS),
    ("a name that leads out", tar(file("../f", b"x")), _THEIRS),
    ("a name that leads out and is not UTF-8", header("../caf\udce9", b"x"), _THEIRS),
    ("an unknown type", header("f", type=b"Z"), _THEIRS),
]
