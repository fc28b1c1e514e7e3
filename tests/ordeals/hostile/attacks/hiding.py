"""Whiteouts that point upwards, through links, at whiteouts, or at nothing.

Published with the OCI image specification ("Whiteouts"), and as CVE-2014-9356 and CVE-2014-6407
(docker, whose whiteouts removed files outside).
"""

from __future__ import annotations

from collections.abc import Callable

from layerstore import InvalidTar
from tests.ordeals.hostile.attack import (
    GONE,
    UP,
    Applied,
    Attack,
    Expected,
    Kind,
    Refused,
    Ways,
    attack,
)
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import directory, file, link, symlink, tar

_OUT = Refused(InvalidTar, "leads out of the layer")
_NOTHING = Refused(InvalidTar, "a whiteout that names nothing")
_LINK_IN_THE_WAY = Refused(InvalidTar, "can't be put beneath the layer's root")
_UNTOUCHED: dict[str, Expected] = {"x": b"stays"}
_X = file("x", b"stays")


def _as_kind(kind: bytes) -> Callable[[Ways], bytes]:
    return lambda ways: (
        raw.member(b".wh.alias", kind=kind, link=f"{ways.outside}/secret".encode(), device=(1, 3))
        + raw.END
    )


HIDING: list[Attack] = [
    *(
        attack(f"a whiteout of {name!r}", tar(_X, file(name)), _NOTHING)
        for name in (".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh...", "a/b/.wh...")
    ),
    *(
        attack(f"a whiteout that points upwards, {name!r}", tar(_X, file(name)), _OUT)
        for name in (
            f"{UP}/outside/.wh.secret",
            f"{UP}/outside/.wh..wh..opq",
            "../.wh.diff",
            "d/../../.wh.x",
            "d/../../.wh..wh..opq",
        )
    ),
    attack(
        "a whiteout with an absolute name",
        lambda ways: tar(_X, file(f"{ways.outside}/.wh.secret"), file(f"/{UP}/.wh.alias")),
        Applied(_UNTOUCHED | {"alias": GONE}),
    ),
    attack("a whiteout of what its own tar holds", tar(_X, file(".wh.x")), Applied(_UNTOUCHED)),
    attack(
        "a whiteout of the directory that it is in",
        tar(file("d/f", b"new"), file(".wh.d")),
        Applied({"d/f": b"new", "d/g": GONE}),
    ),
    attack(
        "a whiteout of the directory that things come into",
        tar(file(".wh.d"), file("d/b", b"new")),
        Applied({"d/b": b"new", "d/f": GONE, "d/g": GONE}),
    ),
    attack(
        "a whiteout of a directory, and things far beneath it",
        tar(_X, file(".wh.d"), file("d/e/.wh.f"), link("d/e/h", "x")),
        Applied({"d/e/h": b"stays", "d/f": GONE}),
    ),
    attack(
        "a whiteout of a directory, and an opaque marker in it",
        tar(file(".wh.d"), file("d/.wh..wh..opq"), file("d/new", b"1")),
        Applied({"d/new": b"1", "d/f": GONE}),
    ),
    attack(
        "a device that hides like a whiteout, and things beneath it",
        raw.member(b"d", kind=b"3") + raw.member(b"d/f", b"x") + raw.END,
        _LINK_IN_THE_WAY,
    ),
    *(
        attack(f"a whiteout of whiteouts, {name!r}", tar(_X, file(name)), Applied(_UNTOUCHED))
        for name in (".wh..wh.x", ".wh..wh..wh.x", ".wh..wh.plnk/1", ".wh..wh.aufs", ".wh..wh.")
    ),
    attack(
        "an opaque marker at the root",
        tar(_X, file(".wh..wh..opq")),
        Applied(_UNTOUCHED),  # overlayfs, and so docker, always shows what is below the root
        on_base=Applied(_UNTOUCHED | {"etc": GONE, "alias": GONE, "up": GONE}),
    ),
    attack(
        "an opaque marker for a directory that isn't there",
        tar(file("no/.wh..wh..opq")),
        Applied({"no": None}),
    ),
    attack(
        "an opaque marker that is a directory",
        tar(_X, directory("d/.wh..wh..opq/")),
        Applied(_UNTOUCHED | {"d/f": GONE}),
    ),
    attack(
        "something in an opaque marker",
        tar(_X, file("d/.wh..wh..opq/f", b"x")),
        Applied(_UNTOUCHED),
    ),
    attack(
        "an opaque marker in a directory that a link leads to",
        tar(
            _X,
            directory("real/"),
            file("real/kept", b"1"),
            symlink("l", "real"),
            file("l/.wh..wh..opq"),
        ),
        Applied(_UNTOUCHED | {"real/kept": b"1"}),
    ),
    attack(
        "an opaque marker in a directory behind a link to outside",
        lambda ways: tar(
            _X,
            symlink("l", ways.outside),
            file("l/directory/.wh..wh..opq"),
            file("l/directory/.wh.inner"),
        ),
        Applied(_UNTOUCHED),
    ),
    attack(
        "an opaque marker through a link that is in the parent",
        tar(file("in/.wh..wh..opq")),
        Applied({"in": None}),
        on_base=Applied({"in": "d", "d/f": GONE}),
    ),
    attack("a whiteout beneath a file", tar(_X, file("x/.wh.f")), Applied(_UNTOUCHED)),
    attack(
        "a whiteout with content",
        tar(file(".wh.alias", b"c" * 5000), _X),
        Applied(_UNTOUCHED | {"alias": GONE}),
    ),
    *(
        attack(f"a whiteout that is of kind {kind!r}", _as_kind(kind), Applied({"alias": GONE}))
        for kind in (b"0", b"1", b"2", b"3", b"4", b"5", b"6")
    ),
    attack(
        "a whiteout of a link that leads out",
        tar(file(".wh.up"), file(".wh.abs")),
        Applied({"up": GONE, "abs": GONE}),
    ),
    attack(
        "a whiteout twice, and what it hides between",
        tar(file(".wh.alias"), file("alias", b"new"), file(".wh.alias")),
        Applied({"alias": b"new"}),
    ),
    attack(
        "a whiteout of a name with the whiteout's own prefix in it",
        tar(_X, file("d/.wh.f.wh.g")),
        Applied(_UNTOUCHED | {"d/.wh.f.wh.g": GONE}),
    ),
    attack(
        "a whiteout of a name of 251 bytes", tar(_X, file(".wh." + "n" * 251)), Applied(_UNTOUCHED)
    ),
    attack(
        "a pipe and a whiteout beneath it",
        tar(_X, file("p", type=b"6"), file("p/.wh.x")),
        Applied(_UNTOUCHED | {"p": Kind(0o010000)}),
    ),
]
