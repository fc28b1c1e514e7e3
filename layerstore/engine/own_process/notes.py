"""What outlives an engine that is killed: what callers hold, noted in a file in memory.

Owns that file's format. The embedder keeps the file and never reads it; each engine goes on from
the notes of the one before it, and adds to them with every change, before anybody is told of it.
The file begins with the place of the newest summary (8 bytes, little-endian), which is a frame
like all that come after it:

    anew, content                   all of it, by name
    set, name, key, value           an entry of a dictionary; taken, name, key: it is gone
    add, name, item                 a member of a set; left, name, item
    cleared, name

A summary replaces what is before it, whose memory is given back.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from layerstore.actors.books.retained import LayersRetained, Mounted, MountsRetained, Retained
from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.frames import pack_frame, unpack_frames
from layerstore.drivers.system.syscalls import punch_hole
from layerstore.drivers.work import OwnedDescriptor

OTHERS_FROM = 1 << 40
"""References from here on are the engine's own numbers, for those who attach to it."""

_PLACE = struct.Struct("<Q")
_SUMMARY_AFTER = 1 << 20
"""Bytes of changes, at least, before they are summed up."""

K = TypeVar("K")
V = TypeVar("V")
Note = Callable[..., None]


class _NotedDict(dict[K, V]):
    """A dictionary whose changes are noted, by the ways that are used."""

    def __init__(self, note: Note, name: str, content: Mapping[K, V]) -> None:
        super().__init__(content)
        self._note = note
        self._name = name

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self._note("set", self._name, key, _plain(value))

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        self._note("taken", self._name, key)

    def pop(self, key: K, *default: Any) -> Any:
        there = key in self
        found = super().pop(key, *default)
        if there:
            self._note("taken", self._name, key)
        return found

    def update(self, other: Any = (), /, **_: Any) -> None:
        for key, value in dict(other).items():
            self[key] = value


class _NotedSet(set[K]):
    """A set whose changes are noted, by the ways that are used."""

    def __init__(self, note: Note, name: str, content: Iterable[K]) -> None:
        super().__init__(content)
        self._note = note
        self._name = name

    def add(self, item: K) -> None:
        super().add(item)
        self._note("add", self._name, item)

    def discard(self, item: object) -> None:
        if item in self:
            super().discard(item)
            self._note("left", self._name, item)

    def clear(self) -> None:
        if self:
            super().clear()
            self._note("cleared", self._name)

    def update(self, *others: Iterable[K]) -> None:
        for other in others:
            for item in other:
                self.add(item)


def _plain(value: object) -> object:
    return [value.count, value.path, value.here] if isinstance(value, Mounted) else value


def make_notes() -> OwnedDescriptor:
    """Return a new file for notes, for engines to inherit. Raises DriverError."""
    try:
        notes = OwnedDescriptor(os.memfd_create("layerstore-notes", os.MFD_CLOEXEC))
        os.write(notes.fileno(), _PLACE.pack(_PLACE.size))
        # The kernel puts what several threads write one after another.
        fcntl.fcntl(notes.fileno(), fcntl.F_SETFL, os.O_APPEND)
    except OSError as error:
        raise DriverError.from_os_error("make", "a file in memory", error) from error
    return notes


class Notes:
    """The notes of an engine."""

    def __init__(self, fd: int) -> None:
        """Read the notes of the engine before this one, if there was one. Raises OSError."""
        self._fd = fd
        # One that isn't appended to, for the place at the beginning.
        self._place = OwnedDescriptor(os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC))
        self._whole = self._place.fileno()
        read = self._read()
        self.retained = self._as_noted(read)
        self._written = 0
        self._sum_up()

    def _as_noted(self, read: Mapping[str, Any]) -> Retained:
        layers = LayersRetained(
            held=_NotedDict(self._note, "held layers", _of_embedder(read["held layers"])),
            made=_NotedDict(self._note, "made layers", _of_embedder(read["made layers"])),
            forsaken=_NotedSet(self._note, "forsaken layers", read["forsaken layers"]),
            unanswered=_NotedSet(self._note, "unanswered layers", read["unanswered layers"]),
        )
        mounted = {
            mount_id: Mounted(count=count, path=path, here=here)
            for mount_id, (count, path, here) in read["mounted"].items()
        }
        mounts = MountsRetained(
            held=_NotedDict(self._note, "held mounts", _of_embedder(read["held mounts"])),
            made=_NotedDict(self._note, "made mounts", _of_embedder(read["made mounts"])),
            mounted=_NotedDict(self._note, "mounted", mounted),
            unanswered=_NotedSet(self._note, "unanswered mounts", read["unanswered mounts"]),
        )
        return Retained(fresh=not read["begun"], layers=layers, mounts=mounts)

    def begun(self) -> None:
        """Note that actors have been started with it: what is mounted from now on is known."""
        self._note("add", "begun", True)

    def _content(self) -> dict[str, Any]:
        layers, mounts = self.retained.layers, self.retained.mounts
        # Each copy is one step of the interpreter, whoever changes the original meanwhile.
        return {
            "held layers": list(dict(layers.held).items()),
            "made layers": list(dict(layers.made).items()),
            "forsaken layers": list(set(layers.forsaken)),
            "unanswered layers": list(set(layers.unanswered)),
            "held mounts": list(dict(mounts.held).items()),
            "made mounts": list(dict(mounts.made).items()),
            "mounted": [(key, _plain(value)) for key, value in dict(mounts.mounted).items()],
            "unanswered mounts": list(set(mounts.unanswered)),
            "begun": [] if self.retained.fresh else [True],
        }

    # The file

    def _note(self, *change: Any) -> None:
        """Write a change down, from any thread; it is in the memory already."""
        frame = pack_frame(change)
        self._append(frame)
        self._written += len(frame)
        if self._written > self._next:
            self._sum_up()

    def _append(self, frame: bytes) -> None:
        if os.write(self._fd, frame) != len(frame):
            raise MemoryError("what is retained can't be noted")

    def _sum_up(self) -> None:
        """Write a summary, and let go of what is before it.

        What another thread writes in between may not be in it: then it isn't where it should be,
        it counts for nothing, and a later one will do.
        """
        place = os.fstat(self._fd).st_size
        frame = pack_frame(["anew", self._content()])
        self._append(frame)
        self._written, self._next = 0, max(_SUMMARY_AFTER, 4 * len(frame))
        if os.pread(self._whole, len(frame), place) == frame:
            os.pwrite(self._whole, _PLACE.pack(place), 0)
            page = os.sysconf("SC_PAGE_SIZE")
            first, last = page, place // page * page
            if last > first:
                punch_hole(self._whole, first, last - first)

    def _read(self) -> dict[str, Any]:
        (place,) = _PLACE.unpack(os.pread(self._whole, _PLACE.size, 0))
        size = os.fstat(self._fd).st_size
        received = bytearray()
        while place + len(received) < size:
            received += os.pread(self._whole, size - place - len(received), place + len(received))
        changes = unpack_frames(received)
        # An engine may have been killed in the middle of its last note, which nobody heard of.
        os.ftruncate(self._whole, size - len(received))
        return _played(changes)


def _of_embedder(by_reference: Mapping[int, V]) -> dict[int, V]:
    """Leave out what those had who were attached to an engine: they know that it is gone."""
    return {reference: of for reference, of in by_reference.items() if reference < OTHERS_FROM}


_EMPTY = ("held layers", "made layers", "held mounts", "made mounts", "mounted")


def _played(changes: Iterable[object]) -> dict[str, Any]:
    """Return what the notes come to."""
    found: dict[str, Any] = {name: {} for name in _EMPTY}
    for name in ("forsaken layers", "unanswered layers", "unanswered mounts", "begun"):
        found[name] = set()
    for number, change in enumerate(changes):
        word, *rest = cast("list[Any]", change)
        if word == "anew":
            if not number:
                found.update((n, type(found[n])(content)) for n, content in rest[0].items())
        else:
            name, *what = rest
            _change(found[name], word, what)
    return found


def _change(content: Any, word: str, what: list[Any]) -> None:
    match word:
        case "set":
            content[what[0]] = what[1]
        case "taken":
            content.pop(what[0], None)
        case "add":
            content.add(what[0])
        case "left":
            content.discard(what[0])
        case "cleared":
            content.clear()
