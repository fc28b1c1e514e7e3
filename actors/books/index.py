"""Indexes: sets by some key, of which none is kept empty, and IDs by how they begin."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from layerstore.drivers.errors import AmbiguousName

K = TypeVar("K")
M = TypeVar("M")
Id = TypeVar("Id", bound=str)

_LAST = chr(0x10FFFF)
"""No ID has this character, so that what goes on by it comes after all that begin so."""


def take_out(sets: dict[K, set[M]], key: K, member: M) -> None:
    """Take a member out of a key's set, and the set with its last one."""
    members = sets.get(key, set())
    members.discard(member)
    if not members:
        sets.pop(key, None)


def only(found: Sequence[M], asked: str, what: str) -> M | None:
    """Return the one that was found by the start of its ID; None where none was.

    Raises AmbiguousName for several, which are `what`.
    """
    if len(found) > 1:
        raise AmbiguousName(asked, f"{len(found)} {what} have IDs that start so")
    return found[0] if found else None


class OrderedIds(Generic[Id]):
    """IDs, each once and in order, so that none is looked at that begins otherwise than asked."""

    def __init__(self, ids: Iterable[Id] = ()) -> None:
        """Begin with all of these, for less than it takes to enter one after another."""
        self._ids = sorted(set(ids))

    def __iter__(self) -> Iterator[Id]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def enter(self, one: Id) -> None:
        """Enter one; what is there already stays as it is."""
        place = bisect_left(self._ids, one)
        if not self._is_at(place, one):
            self._ids.insert(place, one)

    def strike(self, one: Id) -> None:
        """Strike one out, if it is there."""
        place = bisect_left(self._ids, one)
        if self._is_at(place, one):
            del self._ids[place]

    def _is_at(self, place: int, one: Id) -> bool:
        return place < len(self._ids) and self._ids[place] == one

    def beginning(self, start: str) -> list[Id]:
        """Return those that begin so, in order."""
        first = bisect_left(self._ids, start)
        return self._ids[first : bisect_left(self._ids, start + _LAST, first)]
