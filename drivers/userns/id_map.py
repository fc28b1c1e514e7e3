"""Which user and group IDs of this machine stand for those in a user namespace.

Owns the maps' grammar and their form for the kernel. Source: user_namespaces(7), "User and group ID
mappings".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument

MOST_RANGES = 340
"""As many as the kernel takes."""
LARGEST_ID = 0xFFFFFFFE
_NOBODY = 65534
"""What the kernel shows for who isn't in a map."""
_RANGE = re.compile(r"(\d{1,10}):(\d{1,10}):(\d{1,10})", re.ASCII)


class IdRange(Struct, frozen=True):
    """IDs in a row, inside and outside of a user namespace."""

    inside: int
    outside: int
    count: int


class IdMap(Struct, frozen=True):
    """What a user namespace makes of user and group IDs."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    def __post_init__(self) -> None:
        """Raise InvalidArgument for maps that there can't be."""
        for ranges in (self.uids, self.gids):
            _check(ranges)

    @staticmethod
    def parse(text: str) -> IdMap:
        """Read `INSIDE:OUTSIDE:COUNT[,...]`, for users and groups alike, or `USERS/GROUPS`.

        Raises InvalidArgument.
        """
        users, slash, groups = text.partition("/")
        uids = _ranges(users, text)
        return IdMap(uids, _ranges(groups, text) if slash else uids)

    def __str__(self) -> str:
        """Return what `parse` reads."""
        users, groups = map(_text, (self.uids, self.gids))
        return users if users == groups else f"{users}/{groups}"

    @property
    def outside(self) -> tuple[tuple[int, int], ...]:
        """First ID and count of all that it takes of this machine's users and groups."""
        taken = {(one.outside, one.count) for one in (*self.uids, *self.gids)}
        return tuple(sorted(taken))

    def outside_of(self, user: int, group: int) -> tuple[int, int] | None:
        """Return who of this machine a user and a group inside are, None if either is nobody."""
        outside = self.user(user), self.group(group)
        return None if outside[0] is None or outside[1] is None else (outside[0], outside[1])

    def inside_of(self, user: int, group: int) -> tuple[int, int]:
        """Return who inside a user and a group of this machine are; 65534 is nobody, as there."""
        return _inside(self.uids, user), _inside(self.gids, group)

    def user(self, inside: int) -> int | None:
        """Return which user of this machine one inside is, None for nobody."""
        return _outside(self.uids, inside)

    def group(self, inside: int) -> int | None:
        """Return which group of this machine one inside is, None for none."""
        return _outside(self.gids, inside)


def kernel_text(ranges: Iterable[IdRange]) -> str:
    """Return the form of /proc/PID/uid_map and gid_map."""
    return "".join(f"{one.inside} {one.outside} {one.count}\n" for one in ranges)


def _ranges(text: str, whole: str) -> tuple[IdRange, ...]:
    found = [_RANGE.fullmatch(part) for part in text.split(",")]
    ranges = tuple(IdRange(*map(int, part.groups())) for part in found if part is not None)
    if len(ranges) != len(found):
        raise InvalidArgument(whole, "a map of IDs is INSIDE:OUTSIDE:COUNT, with commas between")
    return ranges


def _text(ranges: Iterable[IdRange]) -> str:
    return ",".join(f"{one.inside}:{one.outside}:{one.count}" for one in ranges)


def _outside(ranges: Iterable[IdRange], inside: int) -> int | None:
    for one in ranges:
        if one.inside <= inside < one.inside + one.count:
            return one.outside + inside - one.inside
    return None


def _inside(ranges: Iterable[IdRange], outside: int) -> int:
    for one in ranges:
        if one.outside <= outside < one.outside + one.count:
            return one.inside + outside - one.outside
    return _NOBODY


def _check(ranges: tuple[IdRange, ...]) -> None:
    text = kernel_text(ranges).strip().replace("\n", ",")
    if not 0 < len(ranges) <= MOST_RANGES:
        raise InvalidArgument(text, f"a map of IDs has 1 to {MOST_RANGES} ranges")
    for one in ranges:
        ends = one.inside + one.count - 1, one.outside + one.count - 1
        if min(one.inside, one.outside) < 0 or one.count < 1 or max(ends) > LARGEST_ID:
            raise InvalidArgument(text, f"IDs are 0 to {LARGEST_ID}, at least one in a range")
    for first in ("inside", "outside"):
        rows = sorted((getattr(one, first), one.count) for one in ranges)
        if any(at + count > after for (at, count), (after, _) in pairwise(rows)):
            raise InvalidArgument(text, "ranges of one map can't overlap")
