"""Headers in front of headers: what they override, what they claim, and where they lie.

Published as CVE-2025-62518 (tokio-tar: the size in a PAX header and in the member's own differ),
GHSA-vmf3-w455-68vh (node-tar: PAX records that are taken for another header's), CVE-2022-2879 and
CVE-2025-58183 (Go: headers and sparse maps without bounds), CVE-2019-9674-like claims of size.
"""

from __future__ import annotations

from layerstore import InvalidTar, LimitExceeded
from tests.ordeals.hostile.attack import GONE, UP, Applied, Attack, Refused, attack
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import directory, file, tar

_END = raw.END
_OUT = Refused(InvalidTar, "leads out of the layer")
_BAD_RECORD = Refused(InvalidTar, "a PAX record's length is wrong")
_BAD_FORM = Refused(InvalidTar, "a PAX record is not of the form key=value")
_HIDDEN = raw.member(b"hidden", b"smuggled")
_LAST = raw.member(b"last", b"end") + _END


def _records(text: bytes) -> bytes:
    return raw.member(b"PaxHeaders/x", text, b"x") + _LAST


EXTENDED: list[Attack] = [
    attack(
        "PAX: a name that leads out",
        raw.pax({b"path": f"{UP}/outside/secret".encode()}) + raw.member(b"f") + _END,
        _OUT,
    ),
    attack(
        "PAX: an absolute name",
        lambda ways: (
            raw.pax({b"path": f"{ways.outside}/secret".encode()}) + raw.member(b"f") + _END
        ),
        Applied({"f": GONE}),
    ),
    attack(
        "PAX: a name for what follows a member without one",
        raw.pax({b"path": b"..", b"comment": b"x"}) + raw.member(b"", kind=b"5") + _END,
        _OUT,
    ),
    attack(
        "PAX: a link target that leads out",
        raw.pax({b"linkpath": f"{UP}/outside/secret".encode()})
        + raw.member(b"h", kind=b"1", link=b"last")
        + _LAST,
        Refused(InvalidTar, "can't be made"),
    ),
    attack(
        "PAX: a link target in a header for a file",
        raw.pax({b"linkpath": b"/etc/passwd"}) + raw.member(b"f", b"x") + _END,
        Applied({"f": b"x"}),
    ),
    attack(
        "PAX: a size that hides members",
        raw.pax({b"size": b"%d" % (len(_HIDDEN))}) + raw.block(b"outer", size=0) + _HIDDEN + _LAST,
        Applied({"outer": _HIDDEN, "hidden": GONE, "last": b"end"}),
    ),
    attack(
        "PAX: a size that uncovers members",
        raw.pax({b"size": b"0"}) + raw.block(b"outer", size=len(_HIDDEN)) + _HIDDEN + _LAST,
        Applied({"outer": b"", "hidden": b"smuggled", "last": b"end"}),
    ),
    attack(
        "PAX: a size in front of a long name",
        raw.pax({b"size": b"3"}) + raw.long_name(b"long" * 30) + raw.member(b"x", b"abc") + _LAST,
        Applied({"long" * 30: b"abc", "last": b"end"}),
    ),
    attack(
        "PAX: a size for a link",
        raw.pax({b"size": b"8"}) + raw.block(b"l", b"2", link=b"x") + _HIDDEN + _LAST,
        Applied({"l": "x", "hidden": b"smuggled"}),
    ),
    attack(
        "PAX: a size larger than the stream",
        raw.pax({b"size": b"99999999"}) + raw.block(b"f") + _LAST,
        Refused(InvalidTar, "too early"),
    ),
    *(
        attack(
            f"PAX: a size of {size[:30].decode()}",
            raw.pax({b"size": size}) + raw.block(b"f") + _LAST,
            outcome,
        )
        for size, outcome in (
            (b"-1", Refused(InvalidTar, "size is negative")),
            (b"0x10", Refused(InvalidTar, "no number")),
            (b"1e3", Refused(InvalidTar, "no number")),
            (b" 3", Refused(InvalidTar, "no number")),
            (b"1_0", Refused(InvalidTar, "no number")),
            (b"9223372036854775807", Refused(LimitExceeded, "size of all files")),
            (b"9223372036854775808", Refused(InvalidTar, "no number")),
            (b"9" * 5000, Refused(InvalidTar, "no number")),
        )
    ),
    *(
        attack(f"PAX: the records {text[:20]!r}", _records(text), outcome)
        for text, outcome in (
            (b"0 a=b\n", _BAD_RECORD),
            (b"5 a=b\n", _BAD_RECORD),
            (b"7 a=b\n", _BAD_RECORD),
            (b"-6 a=b\n", _BAD_RECORD),
            (b"99999999 a=b\n", _BAD_RECORD),
            (b"99999999999999999999999999 a=b\n", _BAD_RECORD),
            (b"x a=b\n", _BAD_RECORD),
            (b" 6 a=b\n", _BAD_RECORD),
            (b"6 a=b", _BAD_RECORD),
            (b"6 a=bc", _BAD_RECORD),
            (b"6", _BAD_RECORD),
            (b"6 abc\n", _BAD_FORM),
            (b"6 =bc\n", _BAD_FORM),
            (b"8 a\0b=c\n", _BAD_FORM),
            (b"12 path=a\0b\n", Refused(InvalidTar, "NUL")),
            (b"\xff" * 100, _BAD_RECORD),
        )
    ),
    attack(
        "PAX: a key twice, the second one leading out",
        raw.pax([(b"path", b"good"), (b"path", b"../bad")]) + raw.member(b"f") + _END,
        _OUT,
    ),
    attack(
        "PAX: a header upon a header",
        raw.pax({b"path": b"../bad"}) + raw.pax({b"comment": b"x"}) + raw.member(b"f", b"x") + _END,
        Applied({"f": b"x"}),
    ),
    attack(
        "PAX: a header without a member",
        raw.pax({b"path": b"f"}),
        Refused(InvalidTar, "after the extended header"),
    ),
    attack(
        "PAX: a header and the end",
        raw.pax({b"path": b"f"}) + _END,
        Refused(InvalidTar, "after the extended header"),
    ),
    attack(
        "PAX: a header cut off",
        raw.pax({b"path": b"f" * 600})[:700],
        Refused(InvalidTar, "too early"),
    ),
    attack(
        "PAX: a header of a negative size",
        raw.block(b"x", b"x", size=-1) + _LAST,
        Refused(InvalidTar, "size is negative"),
    ),
    *(
        attack(
            f"a header of kind {kind!r} that claims {size} bytes",
            raw.block(b"x", kind, size=size, magic=raw.GNU) + _LAST,
            Refused(LimitExceeded, "extended header"),
        )
        for kind in (b"x", b"g", b"L", b"K")
        for size in ((1 << 20) + 1, 1 << 40, (1 << 63) - 1)
    ),
    attack(
        "a million headers upon headers",
        raw.long_name(b"n" * 400) * 20_000 + _LAST,
        Refused(LimitExceeded, "all headers of a member"),
    ),
    attack(
        "PAX: global records of every kind are nobody's",
        raw.pax({b"path": b"../x", b"size": b"999", b"linkpath": b"/", b"uid": b"7"}, b"g") + _LAST,
        Applied({"last": b"end"}),
    ),
    attack(
        "PAX: a name against a long name",
        raw.pax({b"path": b"../pax"}) + raw.long_name(b"gnu") + raw.member(b"x", b"1") + _END,
        Applied({"gnu": b"1", "x": GONE}),
    ),
    attack(
        "a long name that leads out",
        raw.long_name(f"{UP}/outside/secret".encode()) + raw.member(b"x", b"1") + _END,
        _OUT,
    ),
    attack(
        "a long name with a NUL and more",
        raw.long_name(b"good\0/../../../../outside") + raw.member(b"x", b"1") + _END,
        Applied({"good": b"1"}),
    ),
    attack(
        "a long name that is empty",
        raw.long_name(b"") + raw.member(b"x", b"1") + _END,
        Applied({"x": b"1"}),
    ),
    attack(
        "a long link target that leads out",
        raw.long_name(f"{UP}/outside".encode(), b"K")
        + raw.member(b"l", kind=b"2", link=b"safe")
        + raw.member(b"l/secret", b"1")
        + _END,
        Refused(InvalidTar, "can't be put beneath"),
    ),
    attack(
        "a name of 4,097 bytes from GNU",
        raw.long_name(b"n" * 4097) + raw.member(b"x") + _END,
        Refused(LimitExceeded, "length of a name"),
    ),
    attack(
        "owners by name only",
        tar(directory("x/", uname="root", gname="shadow"), file("x/f", b"1", uname="../..", uid=7)),
        Applied({"x/f": b"1"}),
    ),
]
