"""Reading a directory tree into facts that can be compared."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """All that a layer keeps of one path."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    """Nanoseconds since 1970."""
    device: tuple[int, int] | None = None
    target: str | None = None
    size: int | None = None
    content: str | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()
    links: tuple[str, ...] = ()
    """All names of the file, if it has several."""


def read_tree(root: str | os.PathLike[str]) -> dict[str, Facts]:
    """Return the facts of everything beneath a directory, by relative path; `.` is the root."""
    top = os.fspath(root)
    found = {".": _facts(top)}
    groups: dict[tuple[int, int], list[str]] = {}
    for place, directories, files in os.walk(top, onerror=_fail):
        for name in directories + files:
            path = f"{place}/{name}"
            relative = os.path.relpath(path, top)
            found[relative] = _facts(path)
            status = os.lstat(path)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                groups.setdefault((status.st_dev, status.st_ino), []).append(relative)
    for group in groups.values():
        if len(group) > 1:
            links = tuple(sorted(group))
            for relative in group:
                found[relative] = replace(found[relative], links=links)
    return found


def in_whole_seconds(tree: dict[str, Facts]) -> dict[str, Facts]:
    """Cut times to what a diff that a layer exports holds of them."""
    return {
        path: replace(facts, mtime=facts.mtime // 10**9 * 10**9) for path, facts in tree.items()
    }


def differences(
    ours: dict[str, Facts], theirs: dict[str, Facts], *, ignore: frozenset[str] = frozenset()
) -> list[str]:
    """Return a line for each path in which two trees differ; `ignore` names fields."""
    lines = [f"only ours: {path}" for path in sorted(ours.keys() - theirs.keys())]
    lines += [f"only theirs: {path}" for path in sorted(theirs.keys() - ours.keys())]
    for path in sorted(ours.keys() & theirs.keys()):
        mine, other = vars(ours[path]), vars(theirs[path])
        lines += [
            f"{path}: {field} {mine[field]!r} != {other[field]!r}"
            for field in mine
            if field not in ignore and mine[field] != other[field]
        ]
    return lines


def _fail(error: OSError) -> None:
    raise error


def _facts(path: str) -> Facts:
    status = os.lstat(path)
    mode = status.st_mode
    regular = stat.S_ISREG(mode)
    device = None
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Facts(
        kind=stat.filemode(mode)[0],
        mode=stat.S_IMODE(mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        device=device,
        target=os.readlink(path) if stat.S_ISLNK(mode) else None,
        size=status.st_size if regular else None,
        content=hashlib.sha256(Path(path).read_bytes()).hexdigest() if regular else None,
        xattrs=_xattrs(path),
    )


_NOT_THE_LAYER_S = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.", "security.selinux")


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    names = os.listxattr(path, follow_symlinks=False)
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(names)
        if not name.startswith(_NOT_THE_LAYER_S)
    )
