"""Where control groups are on this machine, and which of them a process is in.

Owns the reading of that. Sources: cgroups(7); proc_pid_cgroup(5), whose paths, like the roots in
mountinfo, are relative to the cgroup namespace of whoever reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from layerstore.drivers.system.mountinfo import MountPoint, mount_points
from layerstore.drivers.system.readable import content_of

_V1_NAMES = {"blkio": "io"}
"""Controllers that are called otherwise in v2."""
_UNIFIED = ""


_FILE_SYSTEMS = ("cgroup2", "cgroup")
_remembered: list[MountPoint] = []


class Hierarchy(NamedTuple):
    """One tree of groups, as it is mounted."""

    top: str
    """Where it is mounted."""
    own: str
    """The directory of the group that the process is in; `top` or beneath it."""
    unified: bool
    """It is cgroup v2's; else it has one or more of v1's controllers."""


def hierarchies(process: int | str = "self") -> dict[str, Hierarchy]:
    """Return the trees by controller, by their names in v2; "" is cgroup v2 itself.

    Those are left out that aren't mounted, or whose mount doesn't show the process's group. Raises
    FileNotFoundError or ProcessLookupError where there is no such process.
    """
    groups = _groups_of(process)
    found: dict[str, Hierarchy] = {}
    for point in _remembered or mount_points():
        for name in _names(point, groups):
            own = _beneath(point, groups[name])
            if own is not None:
                unified = name == _UNIFIED
                found.setdefault(
                    _V1_NAMES.get(name, name), Hierarchy(point.path, own, unified=unified)
                )
    return found


def remember_mounts() -> None:
    """Take it that trees stay mounted where they are now, in this process and all that it forks.

    With hundreds of other mounts, which are listed with them, that saves most of looking.
    """
    _remembered[:] = [point for point in mount_points() if point.fstype in _FILE_SYSTEMS]


def _groups_of(process: int | str) -> dict[str, str]:
    """Return the path of its group by v1's controllers, or "" for v2."""
    found = {}
    for line in content_of(f"/proc/{process}/cgroup").split(b"\n")[:-1]:
        _, names, path = os.fsdecode(line).split(":", 2)
        for name in names.split(","):
            found[name] = path
    return found


def _names(point: MountPoint, groups: Mapping[str, str]) -> list[str]:
    if point.fstype == "cgroup2":
        return [_UNIFIED] if _UNIFIED in groups else []
    if point.fstype != "cgroup":
        return []
    return [name for name in point.options.split(",") if name in groups]


def _beneath(point: MountPoint, group: str) -> str | None:
    """Return the directory of a group, None where the mount shows another part of the tree."""
    root = point.root.rstrip("/")
    if "/../" in f"{group}/" or not f"{group}/".startswith(f"{root}/"):
        return None
    return f"{point.path.rstrip('/')}{group[len(root) :]}".rstrip("/")


def words_of(path: str) -> list[str]:
    """Return the words of a control file; none where there is no such file. Raises OSError."""
    try:
        return content_of(path).decode("ascii").split()
    except FileNotFoundError:
        return []


def numbers_of(path: str) -> dict[str, int]:
    """Return a control file's lines of a name and a number. Raises OSError."""
    words = words_of(path)
    pairs = zip(words[::2], words[1::2], strict=False)
    return {name: int(number) for name, number in pairs if number.isdigit()}


def number_of(path: str) -> int | None:
    """Return a control file's one number; None for `max`, or without such a file."""
    words = words_of(path)
    return int(words[0]) if words and words[0].lstrip("-").isdigit() else None
