"""What a power loss may leave on a disk, made from the log of all that was written and synced.

Owns a model of a file system that promises no more than POSIX: fsync of a file puts its content and
attributes on the disk, fsync of a directory its names, syncfs everything; a rename is one step. Of
btrfs it knows subvolumes, too: a snapshot has all that its source has by then, and is on the disk
once that is synced, though btrfs puts it there at once. btrfs-subvolume(8).
What was not synced may be there or not, and an adversary chooses. Changes seen through an overlay
mount are not the store's and are left out.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from layerstore.drivers.tree import btrfs_ioctls
from tests.ordeals.crash.rig.seam import Event

_ROOT = 0
_EXCHANGE = 2
"""RENAME_EXCHANGE. renameat2(2)."""
_KERNELS = re.compile(r"/merged/|/work/work")
"""What is seen through an overlay mount, or made by one."""


@dataclass(slots=True)
class Node:
    """An inode."""

    kind: int
    mode: int
    device: int = 0
    target: str = ""
    content: bytearray = field(default_factory=bytearray)
    entries: dict[str, int] = field(default_factory=dict)
    owner: tuple[int, int] = (0, 0)
    attributes: dict[str, bytes] = field(default_factory=dict)
    is_subvolume: bool = False


@dataclass(slots=True)
class Change:
    """One change: `touches` are inodes, by number; a sync of any of them makes it durable."""

    when: int
    touches: tuple[int, ...]
    is_content: bool
    make: Callable[[dict[int, Node]], None]
    durable: float = math.inf
    """The call from which on it is on the disk."""


class Recording:
    """Everything that a log tells of one root."""

    def __init__(self, root: str, log: Iterable[Event]) -> None:
        self._root = root
        self._made: dict[int, Node] = {_ROOT: Node(stat.S_IFDIR, 0o700)}
        self._now = {_ROOT: Node(stat.S_IFDIR, 0o700)}
        self._numbers = itertools.count(1)
        self._changes: list[Change] = []
        self._pending: list[Change] = []
        for event in log:
            if event.done and not _KERNELS.search(event.path):
                self._take(event)

    # Reading the log

    def _find(self, path: str) -> int | None:
        if path == self._root:
            return _ROOT
        if not path.startswith(f"{self._root}/"):
            return None
        number: int | None = _ROOT
        for name in path[len(self._root) + 1 :].split("/"):
            number = self._now[number].entries.get(name) if number is not None else None
        return number

    def _place(self, path: str) -> tuple[int, str]:
        above, name = os.path.split(path)
        directory = self._find(above)
        assert directory is not None, path
        return directory, name

    def _change(
        self,
        event: Event,
        touches: tuple[int, ...],
        make: Callable[[dict[int, Node]], None],
        *,
        is_content: bool = False,
    ) -> None:
        change = Change(event.number, touches, is_content, make)
        make(self._now)
        self._changes.append(change)
        self._pending.append(change)

    def _new(self, event: Event, node: Node) -> None:
        self._enter(event, event.path, self._entered(node))

    def _enter(self, event: Event, path: str, number: int | None) -> None:
        if number is None and self._find(path) is None:
            return  # the removal of what was made through an overlay mount
        directory, name = self._place(path)

        def enter(nodes: dict[int, Node]) -> None:
            _set(nodes[directory], name, number)

        self._change(event, (directory,), enter)

    def _rename(self, event: Event) -> None:
        number = self._find(event.path)
        old, old_name = self._place(event.path)
        new, new_name = self._place(event.other)
        other = self._find(event.other) if event.a & _EXCHANGE else None

        def rename(nodes: dict[int, Node]) -> None:
            if nodes[old].entries.get(old_name) == number:
                _set(nodes[old], old_name, other)
            _set(nodes[new], new_name, number)

        self._change(event, (old, new), rename)

    def _snapshot(self, event: Event) -> None:
        source = self._find(event.other)
        assert source is not None, event.other
        self._enter(event, event.path, self._same_as(source, {}))

    def _same_as(self, number: int, known: dict[int, int]) -> int:
        """Make nodes like those that can be reached from one now; a subvolume in it is empty."""
        if number in known:
            return known[number]
        node = _copy(self._now[number])
        for name, child in node.entries.items():
            if self._now[child].is_subvolume:
                node.entries[name] = self._entered(Node(stat.S_IFDIR, 0o755))
            else:
                node.entries[name] = self._same_as(child, known)
        known[number] = self._entered(node)
        return known[number]

    def _entered(self, node: Node) -> int:
        number = next(self._numbers)
        self._made[number], self._now[number] = node, _copy(node)
        return number

    def _sync(self, event: Event, number: int | None) -> None:
        """Make durable what touches an inode, or everything."""
        for change in self._pending:
            if number is None or number in change.touches:
                change.durable = event.number
        self._pending = [change for change in self._pending if change.durable == math.inf]

    def _take(self, event: Event) -> None:
        mode, kind = event.a & 0o7777, event.kind
        match kind:
            case "mkdir":
                self._new(event, Node(stat.S_IFDIR, mode))
            case "symlink":
                self._new(event, Node(stat.S_IFLNK, 0o777, target=os.fsdecode(event.data)))
            case "mknod":
                self._new(event, Node(stat.S_IFMT(event.a), mode, device=event.b))
            case "create" if self._find(event.path) is None:
                self._new(event, Node(stat.S_IFREG, event.b & 0o7777))
            case "subvolume":
                self._new(event, Node(stat.S_IFDIR, 0o755, is_subvolume=True))
            case "snapshot":
                self._snapshot(event)
            case "unlink" | "rmdir" | "destroy":
                self._enter(event, event.path, None)
            case "link":
                self._enter(event, event.other, self._find(event.path))
            case "rename":
                self._rename(event)
            case "syncfs":
                self._sync(event, None)
            case "mount" | "umount" | "quota" | "project" | "setflags" | "destroy-by-id":
                pass  # the last only empties what is in the trash
            case _:
                self._take_of_inode(event)

    def _take_of_inode(self, event: Event) -> None:
        number = self._find(event.path)
        if number is None:  # deleted, or a magic link
            return
        if event.kind == "fsync":
            self._sync(event, number)
            return
        size = {"create": 0, "truncate": event.a}.get(event.kind)
        if event.kind == "create" and not event.a & os.O_TRUNC:
            return

        def make(nodes: dict[int, Node]) -> None:
            _alter(nodes[number], event, size)

        is_content = size is not None or event.kind in {"write", "clone"}
        self._change(event, (number,), make, is_content=is_content)

    # Making a disk

    def left(self, before: int, adversary: Adversary) -> dict[int, Node]:
        """What is on the disk if the power goes before a call."""
        nodes = {number: _copy(node) for number, node in self._made.items()}
        pending = [c for c in self._changes if c.when < before <= c.durable]
        kept = {id(change) for change in adversary(pending)}
        for change in self._changes:
            if change.when < before and (change.durable < before or id(change) in kept):
                change.make(nodes)
        return nodes


Adversary = Callable[[list[Change]], Iterable[Change]]


def nothing(_pending: list[Change]) -> list[Change]:
    """Nothing that was not synced is there."""
    return []


def names_only(pending: list[Change]) -> list[Change]:
    """All names and attributes are there but no content: ext4's files of length zero."""
    return [change for change in pending if not change.is_content]


def by_chance(seed: int) -> Adversary:
    """Of each inode what happened first is there, up to a random point."""

    def choose(pending: list[Change]) -> list[Change]:
        chance = random.Random(seed)  # noqa: S311
        numbers = sorted({change.touches[-1] for change in pending})
        kept: list[Change] = []
        for number in numbers:
            own = [change for change in pending if change.touches[-1] == number]
            kept += own[: chance.randint(0, len(own))]
        return kept

    return choose


def write_out(nodes: dict[int, Node], place: Path) -> None:
    """Make a directory of what can be reached in a model."""
    first: dict[int, Path] = {}

    def write(number: int, path: Path) -> None:
        node = nodes[number]
        if number in first and node.kind != stat.S_IFDIR:
            os.link(first[number], path, follow_symlinks=False)
            return
        first[number] = path
        if node.kind == stat.S_IFDIR:
            _make_directory(path, is_subvolume=node.is_subvolume)
            for name, child in node.entries.items():
                write(child, path / name)
        elif node.kind == stat.S_IFLNK:
            path.symlink_to(node.target)
        elif node.kind == stat.S_IFREG:
            path.write_bytes(node.content)
        else:
            os.mknod(path, node.kind | 0o600, node.device)
        os.chown(path, *node.owner, follow_symlinks=False)
        for name, value in node.attributes.items():
            os.setxattr(path, name, value, follow_symlinks=False)
        if node.kind != stat.S_IFLNK:
            path.chmod(node.mode)

    write(_ROOT, place)


def _make_directory(path: Path, *, is_subvolume: bool) -> None:
    if not is_subvolume:
        path.mkdir()
        return
    above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        btrfs_ioctls.create(above, os.fsencode(path.name))
    finally:
        os.close(above)


def _copy(node: Node) -> Node:
    return Node(
        node.kind,
        node.mode,
        node.device,
        node.target,
        bytearray(node.content),
        dict(node.entries),
        node.owner,
        dict(node.attributes),
        node.is_subvolume,
    )


def _set(directory: Node, name: str, number: int | None) -> None:
    if number is None:
        directory.entries.pop(name, None)
    else:
        directory.entries[name] = number


def _alter(node: Node, event: Event, size: int | None) -> None:
    content = node.content
    if size is not None:
        del content[size:]
        content.extend(bytes(size - len(content)))
    elif event.kind in {"write", "clone"}:
        content.extend(bytes(max(event.a - len(content), 0)))
        content[event.a : event.a + len(event.data)] = event.data
    elif event.kind == "chmod":
        node.mode = event.a
    elif event.kind == "chown":
        node.owner = (event.a, event.b)
    elif event.kind == "setxattr":
        name, _, value = event.data.partition(b"\0")
        node.attributes[os.fsdecode(name)] = value
    elif event.kind == "removexattr":
        node.attributes.pop(os.fsdecode(event.data), None)
    elif event.kind != "utime":
        raise AssertionError(f"no such call: {event.kind}")
