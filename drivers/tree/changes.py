"""What differs between a layer and its parent.

Owns the two ways to find out: reading an overlay's upper directory, and comparing two complete
trees. Both give the same answer. It changes nothing and follows no symbolic link.
Sources: moby's archive.ChangesDirs, whose rules are kept; the kernel's
Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from msgspec import Struct

from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.tree import Change, ChangeKind, LayerTree
from layerstore.drivers.tree.directories import join, reached
from layerstore.drivers.tree.lower import Found, is_named, look_up_in, names_in
from layerstore.drivers.tree.walk import Entry, walk
from layerstore.drivers.tree.whiteouts import PREFIX, is_whiteout_device, named_by
from layerstore.drivers.tree.xattrs import get_xattr, is_opaque, list_xattrs

_CAPABILITY = "security.capability"
_NANOSECONDS = 1_000_000_000
_ELSEWHERE = frozenset(
    f"{prefix}.overlay.{what}"
    for prefix in ("trusted", "user")
    for what in ("redirect", "metacopy")
)


class RedirectedTree(Exception):
    """An upper directory whose files lie elsewhere in part: only a mount shows what it means.

    An answer rather than an error, so it never leaves the drivers.
    """


def overlay_changes(tree: LayerTree) -> list[Change]:
    """List what an overlay's upper directory changes, ordered by path.

    The same answer as comparing the mounted trees, from the upper directory's files alone.
    Raises RedirectedTree and DriverError.
    """
    comparison = _OverlayComparison(tree)
    try:
        for entry in walk(tree.root):
            comparison.add(entry)
        return comparison.finish()
    except OSError as error:
        raise DriverError.from_os_error_in("compare", tree.root, error) from error


def tree_changes(new_root: str, old_root: str | None) -> list[Change]:
    """List what differs between two complete trees, ordered by path. moby: ChangesDirs.

    `old_root` None stands for an empty tree. Files are compared by mode, owner, device, size, time
    and capability; directories by mode and owner, and are modified also where something in them
    changed. Times are equal where one of them has whole seconds only, and the seconds are equal.
    The roots themselves are not compared. Raises DriverError.
    """
    try:
        return compared(walk(new_root), walk(old_root) if old_root is not None else ())
    except OSError as error:
        raise DriverError.from_os_error_in("compare", new_root, error) from error


def compared(new: Iterable[Entry], old: Iterable[Entry]) -> list[Change]:
    """List what differs between the entries of two complete trees; see tree_changes.

    Raises OSError.
    """
    changes = _Changes()
    directories = {b""}
    known = {entry.path: _Fact.of_entry(entry) for entry in old}
    for entry in new:
        if entry.is_directory:
            directories.add(entry.path)
        before = known.pop(entry.path, None)
        if before is None:
            changes.add(entry.path, ChangeKind.ADD)
        elif _Fact.of_entry(entry).differs(before):
            changes.add(entry.path, ChangeKind.MODIFY)
    for path in known:
        if path.rpartition(b"/")[0] in directories:
            changes.add(path, ChangeKind.DELETE)
    return changes.sorted()


class _Changes:
    """What was found so far; a path comes with the directories above it."""

    def __init__(self) -> None:
        self._found: dict[bytes, ChangeKind] = {}

    def add(self, path: bytes, kind: ChangeKind) -> None:
        self._found[path] = kind
        above = path.rpartition(b"/")[0]
        while above and above not in self._found:
            self._found[above] = ChangeKind.MODIFY
            above = above.rpartition(b"/")[0]

    def sorted(self) -> list[Change]:
        return [Change("/" + os.fsdecode(path), self._found[path]) for path in sorted(self._found)]


class _Fact(Struct, frozen=True):
    """What of a file counts when it is compared; moby: statDifferent."""

    mode: int
    owner: int
    group: int
    device: int
    size: int
    mtime_ns: int
    capability: bytes | None

    @classmethod
    def of_entry(cls, entry: Entry) -> _Fact:
        return cls.of(entry.status, entry.place)

    @classmethod
    def of(cls, status: os.stat_result, path: str | bytes) -> _Fact:
        directory = stat.S_ISDIR(status.st_mode)
        return cls(
            mode=status.st_mode,
            owner=status.st_uid,
            group=status.st_gid,
            device=status.st_rdev,
            size=0 if directory else status.st_size,
            mtime_ns=0 if directory else status.st_mtime_ns,
            capability=get_xattr(path, _CAPABILITY) if stat.S_ISREG(status.st_mode) else None,
        )

    def differs(self, other: _Fact) -> bool:
        """Whether one is a change of the other; tars often keep whole seconds only."""
        if self.mtime_ns != other.mtime_ns:
            seconds, part = divmod(self.mtime_ns, _NANOSECONDS)
            other_seconds, other_part = divmod(other.mtime_ns, _NANOSECONDS)
            if seconds != other_seconds or (part and other_part):
                return True
        return (self.mode, self.owner, self.group, self.device, self.size, self.capability) != (
            other.mode, other.owner, other.group, other.device, other.size, other.capability,
        )  # fmt: skip


class _OverlayComparison:
    """Goes through an upper directory, beside what the lower ones show in the same places."""

    def __init__(self, tree: LayerTree) -> None:
        self._whiteouts = tree.whiteouts
        self._changes = _Changes()
        self._below: dict[bytes, tuple[str, ...]] = {b"": tuple(tree.lowers)}
        """For each directory seen: the lower ones that show in its place."""
        self._hiding: dict[bytes, set[bytes]] = {}
        """For each directory that hides those: the names seen in it."""

    def add(self, entry: Entry) -> None:
        """Take the next entry, a directory before what is in it."""
        above = entry.path.rpartition(b"/")[0]
        if above in self._hiding:
            self._hiding[above].add(entry.name)
        name = os.fsdecode(entry.name)
        if self._whiteouts.by_name and name.startswith(PREFIX):
            self._take_name(entry, above, name)
            return
        before = look_up_in(self._below[above], name, self._whiteouts)
        if is_whiteout_device(entry.status):
            if before is not None:
                self._changes.add(entry.path, ChangeKind.DELETE)
            return
        if not _ELSEWHERE.isdisjoint(list_xattrs(entry.place)):
            raise RedirectedTree(os.fsdecode(entry.path))
        if entry.is_directory:
            self._below[entry.path] = before.merged if before is not None else ()
            if above in self._hiding or self._hides(entry):
                self._hiding[entry.path] = set()
        self._compare(entry, before)

    def _hides(self, entry: Entry) -> bool:
        """Whether a directory hides those below it."""
        if is_opaque(entry.place, self._whiteouts):
            return True
        above = f"/proc/self/fd/{entry.directory}"
        return self._whiteouts.by_name and is_named(above, os.fsdecode(entry.name))

    def _take_name(self, entry: Entry, above: bytes, name: str) -> None:
        """Take a file whose name may say that another is gone."""
        gone = named_by(name, entry.status)
        if not gone or os.path.lexists(f"/proc/self/fd/{entry.directory}/{gone}"):
            return
        if look_up_in(self._below[above], gone, self._whiteouts) is not None:
            self._changes.add(join(above, os.fsencode(gone)), ChangeKind.DELETE)

    def _compare(self, entry: Entry, before: Found | None) -> None:
        if before is None:
            self._changes.add(entry.path, ChangeKind.ADD)
            return
        with reached(before.path) as path:
            fact = _Fact.of(before.status, path)
        if _Fact.of_entry(entry).differs(fact):
            self._changes.add(entry.path, ChangeKind.MODIFY)

    def finish(self) -> list[Change]:
        """Add what is hidden, and return everything."""
        for path, seen in self._hiding.items():
            for name, _ in names_in(self._below[path], self._whiteouts):
                if os.fsencode(name) not in seen:
                    self._changes.add(join(path, os.fsencode(name)), ChangeKind.DELETE)
        return self._changes.sorted()
