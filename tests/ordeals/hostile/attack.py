"""An attack by a layer: how its tar is built, and what has to become of it.

Owns the vocabulary of the corpus, and the view of a tree that never follows a symbolic link, so
that looking at what an attack did can't itself lead out.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from layerstore import LayerStoreError, Limits
from tests.tar.corpus.builder import directory, file, link, symlink, tar

UP = "../../../.."
"""From the top of a layer's own tree to the directory in which the store's root lies."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class Ways:
    """How what is outside a layer's tree is named from within."""

    outside: str
    """The sentinel tree, absolute."""
    beside: str = f"{UP}/outside"
    """The same, from the top of the layer's tree."""
    neighbour: str = ""
    """The tree of another layer, from there."""


class Gone:
    """What is expected of a name that must not be there."""


class Kind:
    """What is expected of a name: a file type only, as os.stat spells it."""

    def __init__(self, format_: int) -> None:
        self.format = format_


GONE = Gone()
Expected = bytes | str | None | Gone | Kind
"""A file's content, a link's target, a directory, nothing, or a kind of file."""


@dataclass(frozen=True)
class Tree:
    """What a store made of an attack: the whole tree, and the layer's own directory."""

    top: Path
    own: Path

    def assert_holds(self, names: Mapping[str, Expected]) -> None:
        """Compare names with what is expected of them."""
        for name, expected in names.items():
            found = self.look(name)
            if isinstance(expected, Kind):
                status = self.status(name)
                assert status is not None, name
                assert stat.S_IFMT(status.st_mode) == expected.format, name
            else:
                assert found == expected, name

    def status(self, name: str) -> os.stat_result | None:
        """Look at a name, none of whose directories may be a symbolic link."""
        with self._above(name) as directory:
            if directory is None:
                return None
            try:
                return os.lstat(os.path.basename(name), dir_fd=directory)
            except FileNotFoundError:
                return None

    def look(self, name: str) -> Expected:
        """Return what is at a name."""
        status = self.status(name)
        if status is None:
            return GONE
        with self._above(name) as directory:
            last = os.path.basename(name)
            if stat.S_ISDIR(status.st_mode):
                return None
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(last, dir_fd=directory)
            if stat.S_ISREG(status.st_mode):
                fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
                with open(fd, "rb") as content:
                    return content.read()
            return Kind(stat.S_IFMT(status.st_mode))

    @contextlib.contextmanager
    def _above(self, name: str) -> Iterator[int | None]:
        """Open the directory that a name is in; None where there is none or only by a link."""
        with contextlib.ExitStack() as stack:
            fd: int | None = None
            try:
                for part in (str(self.top), *name.split("/")[:-1]):
                    fd = os.open(part, _DIRECTORY, dir_fd=fd)
                    stack.callback(os.close, fd)
            except OSError:
                fd = None
            yield fd


@dataclass(frozen=True)
class Applied:
    """The attack does no harm inside the root: what lies there then."""

    names: Mapping[str, Expected] = field(default_factory=dict)
    check: Callable[[Tree], None] | None = None


@dataclass(frozen=True)
class Refused:
    """The attack is an error of its own class, whose message has this in it."""

    error: type[LayerStoreError]
    reason: str


Outcome = Applied | Refused


@dataclass(frozen=True)
class Attack:
    """One tar, and what has to become of it."""

    name: str
    build: Callable[[Ways], bytes]
    outcome: Outcome
    on_base: Outcome | None = None
    """Where it isn't the same: when the tree that it is applied to holds what BASE does, as
    its driver copies."""
    on_mount: Outcome | None = None
    """Where it isn't the same: in a read-write layer, which has no tar to give back."""
    limits: Limits = field(default_factory=Limits)


def attack(
    name: str,
    build: Callable[[Ways], bytes] | bytes,
    outcome: Outcome,
    on_base: Outcome | None = None,
    mounted: Outcome | None = None,
    **limits: int,
) -> Attack:
    """Make an attack; limits other than the defaults are named."""
    make = build if callable(build) else lambda _: build
    return Attack(name, make, outcome, on_base, mounted, Limits(**limits))


def base(ways: Ways) -> bytes:
    """Return the layer on which attacks are tried: links that lead out, and files to harm."""
    return tar(
        directory("etc/"),
        file("etc/passwd", b"root"),
        directory("d/"),
        file("d/f", b"old", uid=1000, gid=1000, mode=0o600),
        file("d/g", b"other"),
        link("alias", "d/f", uid=1000, gid=1000, mode=0o600),
        symlink("up", ways.beside),
        symlink("abs", ways.outside),
        symlink("in", "d"),
    )
