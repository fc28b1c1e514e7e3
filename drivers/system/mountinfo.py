"""Reading the kernel's mount table of this process.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountPoint(NamedTuple):
    """One line of the table."""

    path: str
    fstype: str
    options: str
    """The file system's own (super) options."""


def mount_points() -> Iterator[MountPoint]:
    """Yield every mount of this process's mount namespace, in the kernel's order."""
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            fields, _, rest = line.rstrip(b"\n").partition(b" - ")
            path = fields.split(b" ")[4]
            fstype, _, options = rest.split(b" ", 2)
            yield MountPoint(_decoded(path), _decoded(fstype), _decoded(options))


def _decoded(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))


def file_system_of(path: str) -> str:
    """Return the type of the file system that a path lies on, such as `ext4`."""
    found = ""
    longest = -1
    real = os.path.realpath(path)
    for point in mount_points():
        beneath = real == point.path or real.startswith(point.path.rstrip("/") + "/")
        if beneath and len(point.path) >= longest:
            found, longest = point.fstype, len(point.path)
    return found


def mount_paths() -> tuple[str, ...]:
    """Return where something is mounted, as this process sees it."""
    return tuple(point.path for point in mount_points())
