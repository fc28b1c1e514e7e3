"""Taking a member out of an index: sets by some key, of which none is kept empty."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
M = TypeVar("M")


def take_out(sets: dict[K, set[M]], key: K, member: M) -> None:
    """Take a member out of a key's set, and the set with its last one."""
    members = sets.get(key, set())
    members.discard(member)
    if not members:
        sets.pop(key, None)
