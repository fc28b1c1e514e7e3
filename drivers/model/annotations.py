"""Annotations that call an image by what is no name here: data that only a layout has a place for.

Owns which there are, and how many an image keeps. Source: the OCI image specification's
"Annotations", and containerd's of the same purpose.
"""

from __future__ import annotations

from collections.abc import Iterable

NAMING = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Those that say what an image is called, the fuller one first."""
_MOST = 64
_LONGEST = 4096

Annotations = dict[str, str]


def merged(kept: Iterable[Annotations], new: Iterable[Annotations]) -> tuple[Annotations, ...]:
    """Return what an image keeps once `new` ones have come: each once, the newest last.

    Very long ones aren't kept, and of very many only the newest.
    """
    found: list[Annotations] = []
    for one in (*kept, *new):
        if sum(map(len, one.values())) <= _LONGEST and one not in found:
            found.append(one)
    return tuple(found[-_MOST:])
