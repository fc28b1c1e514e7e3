"""Making tars member by member, and layers that check that each comes back to the bit."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import Applied, LayerTree, WhiteoutFormat
from layerstore.drivers.tar.split.replay_bytes import assemble
from layerstore.drivers.tar.unpack.apply import apply_tar

OVERLAY_FORMATS = (WhiteoutFormat.OVERLAY, WhiteoutFormat.OVERLAY_USER)


class Member(NamedTuple):
    info: tarfile.TarInfo
    content: bytes | None


def file(name: str, content: bytes = b"", **fields: Any) -> Member:
    return _member(name, content, {"size": len(content), "mode": 0o644} | fields)


def directory(name: str, **fields: Any) -> Member:
    return _member(name, None, {"type": tarfile.DIRTYPE, "mode": 0o755} | fields)


def link(name: str, target: str, **fields: Any) -> Member:
    return _member(name, None, {"type": tarfile.LNKTYPE, "linkname": target} | fields)


def symlink(name: str, target: str, **fields: Any) -> Member:
    return _member(name, None, {"type": tarfile.SYMTYPE, "linkname": target} | fields)


def _member(name: str, content: bytes | None, fields: dict[str, Any]) -> Member:
    info = tarfile.TarInfo(name)
    info.mtime = 1_600_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return Member(info, content)


def tar(*members: Member, form: int = tarfile.PAX_FORMAT, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, **options) as archive:
        for info, content in members:
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return buffer.getvalue()


class Layer:
    """A layer's own tree, of which every applied tar is checked to come back to the bit."""

    def __init__(
        self, root: Path, whiteouts: WhiteoutFormat = WhiteoutFormat.OVERLAY, *lowers: Layer
    ) -> None:
        root.mkdir()
        self.root = root
        self.records = b""
        below = tuple(str(layer.root) for layer in lowers)
        self.tree = LayerTree(str(root), below, whiteouts)

    def apply(self, data: bytes, limits: Limits | None = None) -> Applied:
        records = io.BytesIO()
        applied = apply_tar(io.BytesIO(data), self.tree, tar_split=records, limits=limits)
        self.records = records.getvalue()
        assert applied.diff_id == digest(data)
        assert applied.tar_size == len(data)
        assert self.give_back() == data
        return applied

    def give_back(self) -> bytes:
        out = io.BytesIO()
        assert assemble(io.BytesIO(self.records), str(self.root), out) == digest(out.getvalue())
        return out.getvalue()

    def names(self) -> list[str]:
        """Every path in the tree, directories with a slash, whiteouts with an exclamation mark."""
        found = []
        for place, directories, files in os.walk(self.root):
            for name in directories + files:
                path = Path(place, name)
                mark = "/" if path.is_dir() and not path.is_symlink() else ""
                if is_whiteout(path):
                    mark = "!"
                found.append(f"{path.relative_to(self.root)}{mark}")
        return sorted(found)


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
