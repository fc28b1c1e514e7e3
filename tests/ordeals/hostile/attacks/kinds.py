"""Kinds of members: devices, pipes, set-user-ID files, and names that change their kind.

Published as CVE-2021-32803 and CVE-2021-37701 (node-tar: a name that changes its kind), and
CVE-2021-41091 (docker: set-user-ID files that everyone on the machine could run).
"""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable

from layerstore import InvalidTar, LimitExceeded
from tests.ordeals.hostile.attack import (
    GONE,
    Applied,
    Attack,
    Expected,
    Kind,
    Refused,
    Tree,
    Ways,
    attack,
)
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import Member, directory, file, link, symlink, tar

_Makes = Callable[[Ways], list[Member]]
_KINDS: dict[str, tuple[_Makes, Expected]] = {
    "a file": (lambda _: [file("n", b"file", mode=0o600)], b"file"),
    "a full directory": (lambda _: [directory("n/"), file("n/in", b"1")], None),
    "a link out": (lambda ways: [symlink("n", f"{ways.outside}/secret")], Kind(stat.S_IFLNK)),
    "a link to a directory outside": (lambda ways: [symlink("n", ways.outside)],
                                      Kind(stat.S_IFLNK)),
    "a hard link": (lambda _: [link("n", "first")], b"first"),
    "a pipe": (lambda _: [file("n", type=b"6")], Kind(stat.S_IFIFO)),
    "a device": (lambda _: [file("n", type=b"3", devmajor=1, devminor=3)], Kind(stat.S_IFCHR)),
}  # fmt: skip


def _twice(first: _Makes, second: _Makes) -> Callable[[Ways], bytes]:
    return lambda ways: tar(file("first", b"first"), *first(ways), *second(ways))


def _modes(expected: dict[str, tuple[int, int]]) -> Callable[[Tree], None]:
    def check(tree: Tree) -> None:
        for name, (mode, owner) in expected.items():
            status = tree.status(name)
            assert status is not None, name
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (mode, owner), name

    return check


_DEVICES = (file("c", type=b"3", devmajor=1, devminor=3), file("b", type=b"4", devmajor=8))

KINDS: list[Attack] = [
    *(
        attack(f"{first}, then {second}", _twice(_KINDS[first][0], _KINDS[second][0]),
               Applied({"n": _KINDS[second][1], "first": b"first"}))
        for first, second in itertools.product(_KINDS, repeat=2)
    ),
    *(
        attack(f"something in {kind}", _twice(_KINDS[kind][0], lambda _: [file("n/in", b"2")]),
               Refused(InvalidTar, "can't be put beneath the layer's root"))
        for kind in _KINDS if kind != "a full directory"
    ),
    attack("a name of every kind in turn",
           lambda ways: tar(file("first", b"first"),
                            *(one for _ in range(20) for makes, _ in _KINDS.values()
                              for one in makes(ways))),
           Applied({"n": Kind(stat.S_IFCHR)})),
    attack("devices, where they are allowed", tar(*_DEVICES),
           Applied({"c": Kind(stat.S_IFCHR), "b": Kind(stat.S_IFBLK)})),
    *(
        attack(f"a device of type {one.info.type!r}, where none is allowed", tar(one),
               Refused(LimitExceeded, "the number of device nodes exceeds the limit of 0"),
               max_devices=0)
        for one in _DEVICES
    ),
    attack("more devices than allowed", tar(*_DEVICES, *_DEVICES),
           Refused(LimitExceeded, "device nodes exceeds the limit of 3"), max_devices=3),
    attack("whiteouts and pipes, where no device is allowed",
           tar(file(".wh.alias"), file("p", type=b"6")),
           Applied({"alias": GONE, "p": Kind(stat.S_IFIFO)}), max_devices=0),
    *(
        attack(f"a device {major}:{minor}", raw.block(b"c", b"3", device=(major, minor)) + raw.END,
               Refused(InvalidTar, "out of range"))
        for major, minor in ((4096, 0), (0, 1 << 20), (-1, 3), (1 << 40, 1 << 40))
    ),
    attack("a set-user-ID file over one that exists",
           tar(file("d/f", b"#!", mode=0o4755)),
           Applied({"d/f": b"#!"}, _modes({"d/f": (0o4755, 0)})),
           on_base=Applied({"d/f": b"#!", "alias": b"old"},
                           _modes({"d/f": (0o4755, 0), "alias": (0o600, 1000)}))),
    attack("set-user-ID through a hard link within the tar",
           tar(file("f", b"#!", mode=0o600, uid=7), link("h", "f", mode=0o4755, uid=0)),
           Applied({"f": b"#!"}, _modes({"f": (0o4755, 0), "h": (0o4755, 0)}))),
    attack("a set-user-ID file that is written over",
           tar(file("f", b"#!", mode=0o6755), file("f", b"mine", mode=0o644, uid=7)),
           Applied({"f": b"mine"}, _modes({"f": (0o644, 7)}))),
    attack("a directory with set-group-ID and a file in it",
           tar(directory("s/", mode=0o2777, gid=9), file("s/f", b"1", mode=0o755)),
           Applied({"s/f": b"1"}, _modes({"s": (0o2777, 0), "s/f": (0o755, 0)}))),
    attack("more permissions than there are", raw.block(b"f", mode=0o7777777) + raw.END,
           Applied({}, _modes({"f": (0o7777, 0)}))),
    *(
        attack(f"a member of type {kind!r}", raw.member(b"f", b"x", kind) + raw.END,
               Refused(InvalidTar, "unknown member type"))
        for kind in (b"V", b"M", b"D", b"N", b"A", b"8", b"\xff", b"s")
    ),
    attack("a directory with content",
           raw.member(b"dir/", b"", b"5", size=600) + raw.member(b"f", b"x") + raw.END,
           Applied({"dir": None, "f": b"x"})),
    attack("an old file with a slash behind its name", raw.member(b"dir/", kind=b"\0") + raw.END,
           Applied({"dir": None})),
    attack("owners beyond 32 bits", raw.block(b"f", uid=(1 << 32) - 1) + raw.END,
           Refused(InvalidTar, "owner")),
]  # fmt: skip
