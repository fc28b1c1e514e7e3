"""Where this process stands: which user namespace it is in, and whose making that is.

Owns what is known of it, as text for people. It asks the kernel and changes nothing.
"""

from __future__ import annotations

import re

from msgspec import Struct

from layerstore.drivers.errors import DriverError
from layerstore.drivers.userns.id_map import IdRange

_FIRST = (IdRange(0, 0, 0xFFFFFFFF),)
_MOST_BYTES = 1 << 16
_LINE = re.compile(r"\s*(\d+)\s+(\d+)\s+(\d+)\s*", re.ASCII)


class Standing(Struct, frozen=True):
    """How a process has come to the user namespace that it is in."""

    uids: tuple[IdRange, ...]
    """In the order of the kernel; that of the machine's own namespace has all IDs in one range."""
    gids: tuple[IdRange, ...]
    origin: str = ""
    """Whose the namespace is, where layerstore knows."""
    lacking: tuple[str, ...] = ()
    """Why there is no more than the user's own ID, or group; empty where there is."""
    refused: str = ""
    """Why none could be made."""

    @property
    def is_first(self) -> bool:
        """Whether it is the machine's own."""
        return self.uids == _FIRST

    def __str__(self) -> str:
        if self.is_first:
            return f"none: {self.refused}" if self.refused else "none"
        parts = [self.origin or "given to this process", f"users {_text(self.uids)}"]
        if self.gids != self.uids:
            parts.append(f"groups {_text(self.gids)}")
        return ", ".join(parts) + "".join(f"; {reason}" for reason in self.lacking)


class _Told:
    """What this process has been told of its namespace, once and for good."""

    origin = ""
    lacking: tuple[str, ...] = ()
    refused = ""


def stands_in(origin: str, lacking: tuple[str, ...] = ()) -> None:
    """Take note of a namespace that this process has entered."""
    _Told.origin, _Told.lacking, _Told.refused = origin, lacking, ""


def is_refused(error: DriverError) -> None:
    """Take note of why there is none."""
    _Told.refused = str(error)


def standing() -> Standing:
    """Say where this process stands now."""
    return Standing(
        uids=_ranges("uid_map"),
        gids=_ranges("gid_map"),
        origin=_Told.origin,
        lacking=_Told.lacking,
        refused=_Told.refused,
    )


def in_user_namespace() -> bool:
    """Whether this process lives in a user namespace other than the first."""
    return not standing().is_first


def _ranges(name: str) -> tuple[IdRange, ...]:
    try:
        with open(f"/proc/self/{name}", "rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii", "replace")
    except FileNotFoundError:  # a kernel that has none
        return _FIRST
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return tuple(IdRange(*map(int, match.groups())) for match in found if match is not None)


def _text(ranges: tuple[IdRange, ...]) -> str:
    return ",".join(f"{one.inside}:{one.outside}:{one.count}" for one in ranges) or "nobody"
