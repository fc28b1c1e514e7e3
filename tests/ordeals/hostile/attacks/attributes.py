"""Extended attributes: overlayfs's own, labels of the host's security, and some too large.

Published with overlayfs ("trusted.overlay.redirect" in a layer shows any directory of the lower
ones), and as what containerd, podman and docker each leave out.
"""

from __future__ import annotations

import os

from layerstore import InvalidTar
from tests.ordeals.hostile.attack import Applied, Attack, Refused, Tree, attack
from tests.ordeals.hostile.attacks import raw

_END = raw.END
_BAD_FORM = Refused(InvalidTar, "a PAX record is not of the form key=value")


def _xattrs(*names: str) -> bytes:
    pairs = {f"SCHILY.xattr.{name}".encode(): b"y" for name in names}
    return (
        raw.pax(pairs)
        + raw.member(b"dir/", kind=b"5", mode=0o755)
        + raw.pax(pairs)
        + raw.member(b"dir/file", b"x")
        + _END
    )


def _no_attributes(tree: Tree) -> None:
    for name in ("dir", "dir/file"):
        found = os.listxattr(tree.own / name, follow_symlinks=False)
        assert set(found) <= {"user.mine", "trusted.mine"}, name


_FORBIDDEN = (
    *(f"{space}.overlay.{what}" for space in ("trusted", "user")
      for what in ("opaque", "redirect", "metacopy", "origin", "whiteout", "upper", "verity")),
    "security.selinux", "security.SMACK64", "security.evm", "security.apparmor", "security.x",
    "system.posix_acl_nothing", "nonsense.name", "btrfs.compression",
)  # fmt: skip

ATTRIBUTES: list[Attack] = [
    attack(
        "attributes that are not the layer's to set",
        _xattrs(*_FORBIDDEN),
        Applied({"dir/file": b"x"}, _no_attributes),
    ),
    attack("attributes without a name", _xattrs(""), Refused(InvalidTar, "attribute ''")),
    attack(
        "an attribute with a name too long",
        _xattrs("user." + "n" * 300),
        Refused(InvalidTar, "attribute 'user.nnn"),
    ),
    attack(
        "an attribute too large",
        raw.pax({b"SCHILY.xattr.user.x": b"v" * 70_000}) + raw.member(b"f") + _END,
        Refused(InvalidTar, "attribute 'user.x' of 70000 bytes"),
    ),
    attack(
        "capabilities that are none",
        raw.pax({b"SCHILY.xattr.security.capability": b"x"}) + raw.member(b"f") + _END,
        Refused(InvalidTar, "attribute 'security.capability'"),
    ),
    attack(
        "an attribute with a NUL in its name",
        raw.pax({b"SCHILY.xattr.user.a\0b": b"x"}) + raw.member(b"f") + _END,
        _BAD_FORM,
    ),
]
