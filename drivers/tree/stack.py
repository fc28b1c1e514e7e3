"""Going through the tree that layers show together, without a mount.

Owns the order: a directory before what is in it, names sorted as bytes. It changes nothing and
follows no symbolic link. It is for where nothing can be mounted that shows the tree, as in a
confined process; a mount is quicker.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tree.directories import join, reached
from layerstore.drivers.tree.lower import Found, look_up, names_in
from layerstore.drivers.tree.walk import Entry

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk_stack(layers: Sequence[str], whiteouts: WhiteoutFormat) -> Iterator[Entry]:
    """Give everything that layers show, given nearest first, the root not. Raises OSError."""
    waiting = [(b"", _sorted(layers, whiteouts))]
    while waiting:
        path, names = waiting[-1]
        if not names:
            waiting.pop()
            continue
        name, found = names.pop()
        with _entry(join(path, name), found) as entry:
            yield entry
        if entry.is_directory:
            waiting.append((entry.path, _sorted(found.merged, whiteouts)))


@contextlib.contextmanager
def entry_in(
    layers: Sequence[str], path: bytes, whiteouts: WhiteoutFormat
) -> Iterator[Entry | None]:
    """Give for a block what layers show at a path; None where nothing is. Raises OSError."""
    found = look_up(layers, os.fsdecode(path), whiteouts)
    if found is None:
        yield None
        return
    with _entry(path, found) as entry:
        yield entry


@contextlib.contextmanager
def _entry(path: bytes, found: Found) -> Iterator[Entry]:
    above, _, name = found.path.rpartition("/")
    with reached(above) as near:
        directory = os.open(near, _DIRECTORY)
    try:
        yield Entry(path, directory, os.fsencode(name), found.status)
    finally:
        os.close(directory)


def _sorted(directories: Sequence[str], whiteouts: WhiteoutFormat) -> list[tuple[bytes, Found]]:
    """Return what is in directories that merge, the first one last."""
    shown = ((os.fsencode(name), found) for name, found in names_in(directories, whiteouts))
    return sorted(shown, key=lambda pair: pair[0], reverse=True)
