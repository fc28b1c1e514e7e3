"""Which IDs of this machine may be handed out to user namespaces of layers.

Owns the choice: what a caller says, else what /etc/subuid and /etc/subgid have for `layerstore`,
else a range that nobody else is known to use. What is handed out of it is others' to know.
Sources: subuid(5); systemd's "Users, Groups, UIDs and GIDs on systemd Systems", which has
0x70000000 to 0x7FFDFFFF as unused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument

OWN = "layerstore"
"""The user of /etc/subuid whose ranges these are."""
UNUSED = (0x70000000, 0x7FFE0000 - 0x70000000)
"""First ID and count of those where nothing else is said."""
GRAMMAR = "ranges of IDs are FIRST:COUNT[,...], or a user's that /etc/subuid has some for"
_FILES = ("/etc/subuid", "/etc/subgid")
_MAX_FILE = 4 << 20
_LARGEST_ID = 0xFFFFFFFE
_RANGE = re.compile(r"(\d{1,10}):(\d{1,10})", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}", re.ASCII)
_WHOLE = ((0, _LARGEST_ID + 1),)

Ranges = tuple[tuple[int, int], ...]
"""First ID and count of each, in order."""


class IdPool(Struct, frozen=True):
    """The IDs that may be handed out, for users and groups alike."""

    ranges: Ranges
    source: str
    """Where they are from, for errors."""


def id_pool(given: str | None = None, files: tuple[str, str] = _FILES) -> IdPool:
    """Return what may be handed out where a caller has `given` it, or by default.

    `files` are those of users' and of groups' ranges. Of a user namespace it is only what that has,
    and never its root. Raises InvalidArgument.
    """
    found = _asked_for(given, files) if given is not None else _default(files)
    # Root is nobody's to hand out: whoever wants it says so.
    pool = IdPool(_without(found.ranges, [(0, 1)]), found.source)
    here = _intersection(_of_namespace("uid"), _of_namespace("gid"))
    if here == _WHOLE:
        return pool
    if given is None and not _intersection(pool.ranges, here):
        pool = IdPool(_without(_WHOLE, [(0, 1)]), "this user namespace")
    return IdPool(_intersection(pool.ranges, here), pool.source)


def has_all_ids() -> bool:
    """Whether this process's user namespace has all users and groups, as the machine's has."""
    return _intersection(_of_namespace("uid"), _of_namespace("gid")) == _WHOLE


def ranges_refused(text: str) -> str | None:
    """Return what it is to be, for what is neither ranges nor a user's name."""
    good = _ranges(text) is not None or _NAME.fullmatch(text) is not None
    return None if good else GRAMMAR


def _asked_for(text: str, files: tuple[str, str]) -> IdPool:
    if (grammar := ranges_refused(text)) is not None:
        raise InvalidArgument(text, grammar)
    ranges = _ranges(text)
    return IdPool(ranges, text) if ranges is not None else _of_user(text, files)


def _default(files: tuple[str, str]) -> IdPool:
    own = _of_user(OWN, files)
    if own.ranges:
        return own
    others = [(first, count) for path in files for _, first, count in _entries(path)]
    return IdPool(_without((UNUSED,), others), ":".join(map(str, UNUSED)))


def _of_user(name: str, files: tuple[str, str]) -> IdPool:
    users, groups = (
        _ordered((first, count) for owner, first, count in _entries(path) if owner == name)
        for path in files
    )
    return IdPool(_intersection(users, groups), f"{name} in {' and '.join(files)}")


def _ranges(text: str) -> Ranges | None:
    found = [_RANGE.fullmatch(part) for part in text.split(",")]
    numbers = [(int(one[1]), int(one[2])) for one in found if one is not None]
    fits = all(count and first + count - 1 <= _LARGEST_ID for first, count in numbers)
    return _ordered(numbers) if fits and len(numbers) == len(found) else None


def _entries(path: str) -> list[tuple[str, int, int]]:
    """Return owner, first ID and count of each line; what is no such line is nobody's."""
    try:
        content = _content(path)
    except OSError:
        return []
    found = []
    for line in content.decode("utf-8", "surrogateescape").splitlines():
        owner, _, rest = line.strip().partition(":")
        if (numbers := _ranges(rest)) is not None and owner:
            found += [(owner, first, count) for first, count in numbers]
    return found


def _of_namespace(kind: str) -> Ranges:
    """Return the IDs that there are in this process's user namespace."""
    try:
        content = _content(f"/proc/self/{kind}_map")
    except FileNotFoundError:  # a kernel without user namespaces
        return _WHOLE
    lines = [line.split() for line in content.splitlines()]
    return _ordered((int(inside), int(count)) for inside, _, count in lines)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_FILE)


def _ordered(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the same IDs in as few ranges as there are, each once."""
    ordered: list[tuple[int, int]] = []
    for first, count in sorted(ranges):
        start, end = first, first + count
        if ordered and start <= sum(ordered[-1]):
            start, before = ordered.pop()
            end = max(end, start + before)
        ordered.append((start, end - start))
    return tuple(ordered)


def _intersection(some: Ranges, others: Ranges) -> Ranges:
    both = []
    for first, count in some:
        for other, more in others:
            start, end = max(first, other), min(first + count, other + more)
            if start < end:
                both.append((start, end - start))
    return _ordered(both)


def _without(ranges: Ranges, taken: Iterable[tuple[int, int]]) -> Ranges:
    left = []
    for first, count in ranges:
        start = first
        for other, more in _ordered(taken):
            if other < first + count and start < other + more:
                if start < other:
                    left.append((start, other - start))
                start = other + more
        if start < first + count:
            left.append((start, first + count - start))
    return tuple(left)
