"""Names of tar members as paths beneath a root.

Owns what `.`, `..`, slashes and absolute names in a tar mean. It looks at no file.
Source: moby's archive.UnpackLayer, which cleans names and refuses those that lead out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

_UNCLEAN = re.compile(rb"//|(?:^|/)\.\.?(?:/|$)|^/|/$")


def clean(name: bytes) -> bytes | None:
    """Make a name relative, without `.`, `..` and double slashes; empty for the root itself.

    Absolute names begin at the root, whose parent is itself. None for a relative name that leads
    out of the root.
    """
    if not _UNCLEAN.search(name):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
            elif not name.startswith(b"/"):
                return None
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def shortest(name: bytes) -> bytes:
    """Spell a name as Go's filepath.Clean does, by which tar-split tells members apart.

    Unlike in `clean`, absolute names stay absolute and `..` may lead out.
    """
    found = posixpath.normpath(name)
    return found[1:] if found.startswith(b"//") else found


def joins_outside(name: bytes) -> bool:
    """Whether an absolute name leads out where it is only joined to a root, as docker does it."""
    return name.startswith(b"/") and b".." in name and clean(name.lstrip(b"/")) is None


def split(path: bytes) -> tuple[bytes, bytes]:
    """Split a clean path into its directory (empty for the root) and its last name."""
    directory, _, base = path.rpartition(b"/")
    return directory, base


def ancestors(path: bytes) -> Iterator[bytes]:
    """Give a clean path's first name, the first two, and so on up to the path itself."""
    end = 0
    while end >= 0 and path:
        end = path.find(b"/", end + 1)
        yield path if end < 0 else path[:end]
