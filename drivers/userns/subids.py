"""Which user and group IDs a user may have beside its own, and who gives them to it.

Owns the reading of subuid(5) and subgid(5), and of what getsubids(1) says where other services
know them. It decides nothing: newuidmap(1), which has the privilege, looks again by itself.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator

from layerstore.drivers.userns.id_map import LARGEST_ID, MOST_RANGES, IdRange, kernel_text

_MOST_BYTES = 4 << 20
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_PLACES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/run/wrappers/bin")
"""Where programs are that a machine's administrator has put there; never the caller's PATH."""
_PATIENCE = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
"""A map's text is shorter: user_namespaces(7)."""


def subordinate(path: str, user: int, name: str | None) -> list[tuple[int, int]]:
    """Return a user's ranges, first ID and count, of a file such as /etc/subuid, in its order.

    A line is `NAME:FIRST:COUNT`, or has the user's number for its name; lines that are no such are
    nobody's. Where the file has none, getsubids is asked. What can't be read has none.
    """
    own = {str(user), name}
    found = [(first, count) for owner, first, count in _lines(path) if owner in own]
    return found or _asked(name, groups=path.endswith("subgid"))


def inside_from_one(own: int, ranges: Iterable[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Return a map where 0 is the user's own ID and those from 1 are the ranges', without gaps.

    What overlaps with what was taken before isn't taken, as the kernel takes no such map; nor what
    makes it longer than the kernel reads.
    Source: podman-run(1), "--userns", on rootless mode.
    """
    taken = [IdRange(0, own, 1)]
    at = 1
    for first, wanted in ranges:
        count = min(wanted, LARGEST_ID + 1 - max(first, at))
        if count < 1 or len(taken) == MOST_RANGES:
            continue
        if any(first < one.outside + one.count and one.outside < first + count for one in taken):
            continue
        taken.append(IdRange(at, first, count))
        if len(kernel_text(taken)) >= _PAGE:
            taken.pop()
            break
        at += count
    return tuple(taken)


def program(name: str) -> str | None:
    """Return where a privileged program is; one that others than root may change is none."""
    for place in _PLACES:
        path = f"{place}/{name}"
        try:
            status = os.stat(path)
        except OSError:
            continue
        others = stat.S_IWGRP | stat.S_IWOTH
        if stat.S_ISREG(status.st_mode) and not status.st_uid and not status.st_mode & others:
            return path
    return None


def _lines(path: str) -> Iterator[tuple[str, int, int]]:
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner and _NUMBER.fullmatch(first) and _NUMBER.fullmatch(count):
            yield owner, int(first), int(count)


def _asked(name: str | None, *, groups: bool) -> list[tuple[int, int]]:
    """Ask what knows of other sources than files, such as a directory of users."""
    asked = program("getsubids") if name is not None and not name.startswith("-") else None
    if asked is None or name is None:
        return []
    command = [asked, *(["-g"] if groups else []), name]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=_PATIENCE, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():  # 0: NAME FIRST COUNT
        words = line.split()[-2:]
        if len(words) == 2 and all(map(_NUMBER.fullmatch, words)):
            found.append((int(words[0]), int(words[1])))
    return found
