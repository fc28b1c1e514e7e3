"""Reading the kernel's mount table of this process.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

_ESCAPED = re.compile(rb"[\s\\#]")
"""What the kernel writes otherwise."""
_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountPoint(NamedTuple):
    """One line of the table."""

    path: str
    fstype: str
    options: str
    """The file system's own (super) options."""
    root: str
    """What of the file system is seen there: a path in it."""
    source: str
    """What is mounted, as the file system calls it: often a device's path."""


def mount_points(beneath: str = "") -> Iterator[MountPoint]:
    """Yield every mount of this process's mount namespace, in the kernel's order.

    Of others than those on and in the directory `beneath`, if that is given, it may yield some.
    """
    name = os.fsencode(beneath)
    wanted = b"" if _ESCAPED.search(name) else name
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            if wanted not in line:
                continue
            fields, _, rest = line.rstrip(b"\n").partition(b" - ")
            root, path = fields.split(b" ")[3:5]
            fstype, source, options = rest.split(b" ", 2)
            yield MountPoint(*map(_decoded, (path, fstype, options, root, source)))


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
