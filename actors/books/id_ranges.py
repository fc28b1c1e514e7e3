"""The books of user IDs that read-write layers have for themselves: which are taken.

Owns the choice of a free range. What is taken is no more than what the layers' own maps say, so
that nothing has to be remembered but them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort

from layerstore.drivers.errors import IdsExhausted, InvalidArgument
from layerstore.drivers.userns.id_map import IdMap, IdRange
from layerstore.drivers.userns.ranges import IdPool

AUTO = "auto"
_SIZE = re.compile(r"auto:size=(\d{1,10})", re.ASCII)
_USUAL = 65_536
"""As many as /etc/subuid gives a user, and as a root file system may have owners in all."""


class IdRanges:
    """What is taken by maps, and what of a pool is free."""

    def __init__(self, pool: IdPool) -> None:
        self._pool = pool
        self._taken: list[tuple[int, int]] = []
        """First ID and count of each range, ordered; those that callers chose may overlap."""

    def resolve(self, asked: str) -> str:
        """Return the map that is meant: what is asked for, or one of a range that nobody has.

        `auto` is 0 and what follows, 65536 in all, or as many as `auto:size=N` says. It is taken
        only by `take`. Raises InvalidArgument, IdsExhausted.
        """
        if asked != AUTO and not asked.startswith(f"{AUTO}:"):
            return str(IdMap.parse(asked))
        count = _USUAL
        if asked != AUTO:
            found = _SIZE.fullmatch(asked)
            if found is None or not int(found[1]):
                raise InvalidArgument(asked, "a range of IDs is auto, or auto:size=N")
            count = int(found[1])
        own = (IdRange(0, self._free(count), count),)
        return str(IdMap(own, own))

    def anew(self, id_map: str) -> str:
        """Return the map for a fork of a layer that has one: of IDs of its own, if that has these.

        A map that a caller has chosen stays as it is. Raises IdsExhausted.
        """
        if not id_map:
            return ""
        found = IdMap.parse(id_map)
        if found.uids != found.gids or len(found.uids) > 1 or not self._is_ours(found.uids[0]):
            return id_map
        return self.resolve(f"{AUTO}:size={found.uids[0].count}")

    def _is_ours(self, one: IdRange) -> bool:
        """Whether a range may have been handed out."""
        end = one.outside + one.count
        within = (first <= one.outside and end <= first + more for first, more in self._pool.ranges)
        return one.inside == 0 and any(within)

    def _free(self, count: int) -> int:
        for first, length in self._pool.ranges:
            start = first
            # A range that begins before may reach in here: those are few, and looked at all.
            for other, more in self._taken:
                if other >= first + length or other >= start + count:
                    break
                start = max(start, other + more)
            if start + count <= first + length:
                return start
        raise IdsExhausted(self._pool.source, count)

    def take(self, id_map: str) -> None:
        """Note that a layer has this map."""
        for taken in IdMap.parse(id_map).outside:
            insort(self._taken, taken)

    def give_back(self, id_map: str) -> None:
        """Note that a layer that had this map is gone."""
        for taken in IdMap.parse(id_map).outside:
            del self._taken[bisect_left(self._taken, taken)]
