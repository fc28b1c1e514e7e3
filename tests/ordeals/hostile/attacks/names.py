"""Names that lead out of the root, or that are none.

Published as zip-slip, CVE-2007-4559 (Python's tarfile), CVE-2014-9356 (docker), CVE-2021-32804 and
CVE-2021-37713 (node-tar: absolute names, drive letters), CVE-2021-37701 and CVE-2021-37712
(backslashes, names that a file system takes for one), CVE-2024-12718 (metadata outside).
"""

from __future__ import annotations

from layerstore import InvalidTar, LimitExceeded
from tests.ordeals.hostile.attack import UP, Applied, Attack, Refused, Tree, Ways, attack
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import directory, file, symlink, tar

_OUT = Refused(InvalidTar, "leads out of the layer")
_ROOT = Refused(InvalidTar, "only a directory can be the root")
_LONG = "n" * 200 + "/"


def _absolute(ways: Ways) -> bytes:
    return tar(file(f"{ways.outside}/secret", b"mine"), directory(f"{ways.outside}/directory/"))


def _is_inside(tree: Tree) -> None:
    assert [path.read_bytes() for path in tree.top.rglob("outside/secret")] == [b"mine"]


def _prefix(ways: Ways) -> bytes:
    return raw.member(b"new", b"x", prefix=ways.beside.encode()) + raw.END


def _old_gnu_prefix(ways: Ways) -> bytes:
    return raw.member(b"new", b"x", magic=raw.GNU, prefix=ways.beside.encode()) + raw.END


_DOTS = {
    "a relative name": f"{UP}/outside/new",
    "a relative name behind directories": f"a/b/../../{UP}/outside/secret",
    "a relative name behind dots": f"././{UP}/outside/secret",
    "the parent itself": "..",
    "the parent behind a slash": "../",
    "one directory too far": "a/../../a",
    "the directory of all layers": "../../x",
}
_LITERAL = {
    "backslashes": "..\\..\\..\\..\\outside\\secret",
    "a drive letter": "C:\\outside\\secret",
    "a drive letter and dots": "C:../outside/secret",
    "three dots": ".../secret",
    "dots and a space": ".. /secret",
    "dots with a line break": "..\n/secret",
    "full-width dots and slash": "\uff0e\uff0e\uff0foutside",
    "an overlong dot": "\udcc0\udcae\udcc0\udcae/outside",
    "percent signs": "%2e%2e%2foutside",
    "control characters": "\x1b[2Jclear\r\x07",
    "line breaks": "line\nbreak\n",
    "a byte that is no text": "caf\udce9",
    "a right-to-left override": "\u202egnp.exe",
    "what looks like mount options": "x,upperdir=outside,lowerdir=a:b\\:c",
    "what looks like an option": "--checkpoint-action=exec=sh",
    "a tilde": "~root/secret",
    "a variable": "$HOME/secret",
    "spaces only": "   ",
    "255 bytes": "n" * 255,
}
_INSIDE = {
    "an absolute name that leads up": (f"/{UP}/outside/secret", "outside/secret"),
    "slashes upon slashes": ("////outside//secret", "outside/secret"),
    "dots that stay inside": ("a/b/../../outside/./secret", "outside/secret"),
    "a slash behind a file": ("outside/secret/", "outside/secret"),
    "a NUL and more behind it": ("outside\0/../../../../../outside/secret", "outside"),
}

NAMES: list[Attack] = [
    *(attack(what, tar(file(name, b"x")), _OUT) for what, name in _DOTS.items()),
    *(
        attack(f"{what}, as a directory", tar(directory(name, mode=0o777, uid=7)), _OUT)
        for what, name in _DOTS.items()
    ),
    *(
        attack(f"a name with {what}", tar(file(name, b"x")), Applied({name: b"x"}))
        for what, name in _LITERAL.items()
    ),
    *(
        attack(what, raw.member(name.encode(), b"x") + raw.END, Applied({found: b"x"}))
        for what, (name, found) in _INSIDE.items()
    ),
    *(
        attack(f"a file as the root, {name!r}", tar(file(name, b"x")), _ROOT)
        for name in ("", ".", "./", "/", "a/..")
    ),
    attack("a link as the root", lambda ways: tar(symlink(".", ways.outside)), _ROOT),
    attack("the root closed and given away", tar(directory("./", mode=0o7000, uid=5)), Applied()),
    attack(
        "an absolute name of a file that exists",
        _absolute,
        Applied(check=_is_inside),
    ),
    attack("dots in the prefix", _prefix, _OUT),
    attack("dots in the place of GNU's times", _old_gnu_prefix, _OUT),
    attack("a name of 256 bytes", tar(file("n" * 256)), Refused(InvalidTar, "name too long")),
    attack(
        "a name of 256 bytes on the way",
        tar(file("n" * 256 + "/f")),
        Refused(InvalidTar, "name too long"),
    ),
    attack(
        "a path of 4,095 bytes",
        tar(file(_LONG * 20 + "f" * 75, b"x")),
        Applied({_LONG * 20 + "f" * 75: b"x"}),
    ),
    attack(
        "a path of 4,097 bytes", tar(file(_LONG * 20 + "f" * 77)), Refused(LimitExceeded, "name")
    ),
    attack("a path of a megabyte", tar(file("d/" * 600_000)), Refused(LimitExceeded, "extended")),
    attack(
        "300 directories deep, not allowed",
        tar(file("d/" * 300 + "f")),
        Refused(LimitExceeded, "depth"),
        max_depth=256,
    ),
    attack(
        "1,200 directories deep, allowed",
        tar(file("d/" * 1200 + "f", b"x"), file("e", b"x")),
        Applied({"e": b"x"}),
        max_depth=4096,
    ),
    attack(
        "names that differ in case or composition only",
        lambda ways: tar(
            symlink("FOO", ways.outside),
            directory("foo/"),
            file("foo/secret", b"1"),
            symlink("e\u0301", ways.outside),
            directory("\u00e9/"),
            file("\u00e9/secret", b"2"),
            symlink("\u00df", ways.outside),
            file("ss/secret", b"3"),
        ),
        Applied({"foo/secret": b"1", "\u00e9/secret": b"2", "ss/secret": b"3"}),
    ),
    attack(
        "whole directories of another layer",
        lambda ways: tar(file(f"{ways.neighbour}/etc/passwd", b"mine")),
        _OUT,
    ),
    attack(
        "a directory given the name of a whiteout's",
        tar(file(".wh.d/f", b"x")),
        Applied({".wh.d/f": b"x"}),
    ),
]
