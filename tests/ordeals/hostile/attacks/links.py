"""Symbolic and hard links that lead out, and what is then written, linked or hidden through them.

Published as CVE-2014-6407 (docker: symbolic and hard links in layers), CVE-2021-32803 and
CVE-2018-20834 (node-tar: a directory that became a link, a hard link that is written through),
CVE-2021-32760 (containerd: permissions through a hard link to a symbolic link), CVE-2025-4517,
CVE-2025-4330 and CVE-2025-4138 (Python: link targets that are resolved otherwise than checked),
CVE-2026-24842 (node-tar: a hard link's target looked for from elsewhere).
"""

from __future__ import annotations

from collections.abc import Callable

from layerstore import InvalidTar
from tests.ordeals.hostile.attack import GONE, UP, Applied, Attack, Kind, Refused, Ways, attack
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import Member, directory, file, link, symlink, tar

_EXISTS = Refused(InvalidTar, "can't be put beneath the layer's root")
_NOT_KEPT = Refused(InvalidTar, "its content cannot be kept")
_NO_TARGET = Refused(InvalidTar, "a hard link to a file that does not exist")
_NO_LINK = Refused(InvalidTar, "can't be made")
_NO_DIRECTORY = Refused(InvalidTar, "a hard link to a directory")

_OUT: dict[str, Callable[[Ways], str]] = {
    "an absolute link": lambda ways: ways.outside,
    "a relative link": lambda ways: ways.beside,
    "a link to the machine's root": lambda _: "/../../../../../..",
    "a link through /proc": lambda ways: f"/proc/self/root{ways.outside}",
    "a link to another layer": lambda ways: ways.neighbour,
}
_THROUGH: dict[str, tuple[Member, ...]] = {
    "writing": (file("l/secret", b"mine"),),
    "making": (file("l/new", b"mine"),),
    "making a directory": (directory("l/directory/", mode=0o777, uid=5),),
    "making deeper": (file("l/directory/deeper/new", b"mine"),),
    "linking": (symlink("l/secret", "x"),),
    "hard-linking": (link("l/new", "good"),),
    "hiding": (file("l/.wh.secret"),),
    "hiding everything": (file("l/.wh..wh..opq"),),
    "making a device": (file("l/secret", type=b"3", devmajor=1, devminor=3),),
}


def _through(way: Callable[[Ways], str], members: tuple[Member, ...]) -> Callable[[Ways], bytes]:
    return lambda ways: tar(file("good", b"x"), symlink("l", way(ways)), *members)


def _outcome(target: str, action: str) -> Applied | Refused:
    """A whiteout beneath what is a link now has nothing to hide; the root's parent is itself."""
    if action in ("hiding", "hiding everything"):
        return Applied({"good": b"x"})
    if target == "a link to the machine's root":
        return Applied({"good": b"x"})
    return _EXISTS


def _chain(length: int) -> Callable[[Ways], bytes]:
    return lambda ways: tar(
        *(symlink(f"l{number}", f"l{number + 1}") for number in range(length)),
        symlink(f"l{length}", ways.outside),
        file("l0/secret", b"mine"),
    )


def _too_long_to_resolve(ways: Ways) -> bytes:
    """Directories and links whose real path is longer than any that a program can look at."""
    members: list[Member] = []
    path = ""
    for letter in "abcdefghijklmnop":
        members += [directory(f"{path}{'d' * 247}/"), symlink(f"{path}{letter}", "d" * 247)]
        path += "d" * 247 + "/"
    short = "/".join("abcdefghijklmnop")
    members += [
        symlink(f"{short}/{'l' * 254}", "../" * 16),
        symlink("escape", f"{short}/{'l' * 254}/{UP}/outside"),
        link("stolen", "escape/secret"),
        file("escape/secret", b"mine"),
    ]
    return tar(*members)


def _ladder(_: Ways) -> bytes:
    """Links that each begin where the one before ended, so that the tree is deeper than a path."""
    rung = "d/" * 250
    members = [directory(rung)]
    way = rung
    for number in range(9):
        members += [symlink(f"l{number}", way.rstrip("/")), directory(f"l{number}/{rung}")]
        way = f"l{number}/{rung}"
    return tar(*members, file(f"{way}f", b"deep"))


LINKS: list[Attack] = [
    *(
        attack(f"{action} through {target}", _through(way, members), _outcome(target, action))
        for target, way in _OUT.items()
        for action, members in _THROUGH.items()
    ),
    *(attack(f"a chain of {length} links", _chain(length), _EXISTS) for length in (2, 39, 41, 500)),
    attack(
        "links in a circle",
        tar(symlink("a", "b"), symlink("b", "a"), file("a/f", b"x")),
        _EXISTS,
    ),
    attack("a link to itself", tar(symlink("a", "a"), directory("a/b/")), _EXISTS),
    attack("a link to nothing", tar(symlink("a", "")), _EXISTS),
    attack("a link's target of 4,096 bytes", tar(symlink("a", "t" * 4096)), _EXISTS),
    attack(
        "a link's target with a NUL",
        raw.pax({b"linkpath": b"a\0b"}) + raw.END,
        Refused(InvalidTar, "NUL"),
    ),
    attack(
        "a directory that becomes a link between two files",
        lambda ways: tar(file("s/first", b"1"), symlink("s", ways.outside), file("s/secret", b"2")),
        _EXISTS,
    ),
    attack(
        "a directory that becomes a link to another one",
        tar(
            directory("safe/"),
            file("s/f", b"first"),
            symlink("s", "safe"),
            file("s/f", b"other"),
        ),
        Applied({"s": "safe", "safe/f": b"other"}),
    ),
    attack(
        "a link that becomes a directory",
        lambda ways: tar(
            symlink("s", ways.outside), directory("s/", mode=0o777, uid=5), file("s/secret", b"2")
        ),
        Applied({"s": None, "s/secret": b"2"}),
    ),
    attack(
        "a link that leads elsewhere between two files",
        tar(
            directory("a/"),
            directory("b/"),
            symlink("s", "a"),
            file("s/f", b"one"),
            symlink("s", "b"),
            file("s/f", b"two!"),
        ),
        _NOT_KEPT,
        mounted=Applied({"a/f": b"one", "b/f": b"two!"}),
    ),
    attack(
        "a link that leads elsewhere, to a file of the same size",
        tar(
            directory("a/"),
            directory("b/"),
            symlink("s", "a"),
            file("s/f", b"one"),
            symlink("s", "b"),
            file("b/f", b"two"),
        ),
        _NOT_KEPT,
        mounted=Applied({"a/f": b"one", "b/f": b"two"}),
    ),
    attack(
        "a file in the place of a link",
        lambda ways: tar(
            symlink("s", f"{ways.outside}/secret"), file("s", b"mine", mode=0o4777, uid=5)
        ),
        Applied({"s": b"mine"}),
    ),
    attack(
        "a device in the place of a link",
        lambda ways: tar(
            symlink("s", f"{ways.outside}/secret"), file("s", type=b"4", devmajor=8, mode=0o666)
        ),
        Applied({"s": Kind(0o060000)}),
    ),
    attack(
        "a link with permissions, an owner and attributes",
        lambda ways: tar(
            symlink(
                "s",
                f"{ways.outside}/secret",
                mode=0o4777,
                uid=5,
                mtime=1,
                pax_headers={"SCHILY.xattr.user.mine": "1", "SCHILY.xattr.trusted.mine": "1"},
            )
        ),
        Applied({"s": Kind(0o120000)}),
    ),
    attack(
        "a hard link to a link, with permissions and an owner",
        lambda ways: tar(
            symlink("s", f"{ways.outside}/secret"),
            link("h", "s", mode=0o4777, uid=5, mtime=1),
        ),
        Applied({"h": Kind(0o120000)}),
    ),
    attack(
        "writing over a hard link to a link",
        lambda ways: tar(
            symlink("s", f"{ways.outside}/secret"), link("h", "s"), file("h", b"mine")
        ),
        Applied({"h": b"mine", "s": Kind(0o120000)}),
    ),
    attack(
        "a hard link to a link, and what is beneath it",
        lambda ways: tar(symlink("s", ways.outside), link("h", "s"), file("h/secret", b"mine")),
        _EXISTS,
    ),
    *(
        attack(f"a hard link to {what}", build, outcome)
        for what, build, outcome in (
            ("an absolute name", lambda w: tar(link("h", f"{w.outside}/secret")), _NO_TARGET),
            ("a relative name", lambda w: tar(link("h", f"{w.beside}/secret")), _NO_LINK),
            (
                "a name beside its own directory",
                lambda _: tar(directory("a/b/"), link("a/b/h", "../../../secret")),
                _NO_LINK,
            ),
            (
                "an absolute name that leads up",
                lambda w: tar(link("h", f"/{w.beside}/secret")),
                _NO_TARGET,
            ),
            (
                "what a link leads to",
                lambda w: tar(symlink("s", w.outside), link("h", "s/secret")),
                _NO_TARGET,
            ),
            (
                "a pipe behind a link",
                lambda w: tar(symlink("s", w.beside), link("h", "s/fifo")),
                _NO_TARGET,
            ),
            (
                "a file of another layer",
                lambda w: tar(link("h", f"{w.neighbour}/etc/passwd")),
                _NO_LINK,
            ),
            ("a directory", lambda _: tar(directory("x/"), link("h", "x")), _NO_DIRECTORY),
            ("the root", lambda _: tar(link("h", "/")), _NO_LINK),
            ("nothing", lambda _: tar(link("h", "")), _NO_LINK),
            ("itself", lambda _: tar(file("h", b"x"), link("h", "./h")), _NO_LINK),
            ("a whiteout", lambda _: tar(file(".wh.x"), link("h", "x")), _NO_TARGET),
            ("a whiteout's own name", lambda _: tar(file(".wh.x"), link("h", ".wh.x")), _NO_TARGET),
        )
    ),
    attack(
        "a hard link through a link that is in the parent",
        tar(link("h", "up/secret")),
        _NO_TARGET,
    ),
    attack(
        "writing through links that are in the parent",
        tar(file("up/secret", b"mine"), file("abs/secret", b"mine")),
        Applied({"up/secret": b"mine", "abs/secret": b"mine"}),
        on_base=_EXISTS,
    ),
    attack(
        "hiding through a link that is in the parent",
        tar(file("up/.wh.secret"), file("abs/.wh..wh..opq")),
        Applied({"abs": None}),
        on_base=_EXISTS,
    ),
    attack(
        "a link that is in the parent as a directory",
        tar(directory("up/", mode=0o777, uid=5), file("up/secret", b"mine")),
        Applied({"up/secret": b"mine"}),
    ),
    attack(
        "hiding links that are in the parent",
        tar(file(".wh.up"), file(".wh.abs")),
        Applied({"up": GONE, "abs": GONE}),
    ),
    attack(
        "a hard link in the place of a link",
        lambda ways: tar(symlink("s", ways.outside), file("f", b"x"), link("s", "f")),
        Applied({"s": b"x"}),
    ),
    attack(
        "links and names too long to resolve",
        _too_long_to_resolve,
        Refused(InvalidTar, "a hard link to a file that does not exist"),
    ),
    attack("a tree deeper than a path can be", _ladder, Applied({"l0": Kind(0o120000)})),
    attack(
        "a link to the directory that it is in",
        tar(symlink("l", "."), file("l/l/l/l/f", b"x")),
        Applied({"f": b"x"}),
    ),
]
