"""When a file's holes are worth a sparse member in a tar that is written, and how that says them.

Owns the map of GNU's sparse format 1.0, which stands in front of the content. `sparse` reads such
maps. It writes nothing.
Source: the GNU tar manual, appendix "Sparse Formats".
"""

from __future__ import annotations

import os

from layerstore.drivers.tar.format import padding
from layerstore.drivers.tree.holes import pieces_of

Pieces = list[tuple[int, int]]
"""Offset and length of each part of a file that isn't a hole."""

ZEROS = memoryview(bytes(1 << 20))
_MOST_PIECES = 10_000
"""Of a file with more no sparse member is made: readers bound the size of a map."""
_LEAST = 1 << 20
_SHARE = 2


def find_data(fd: int, status: os.stat_result) -> Pieces:
    """Find what of a file has content, in order.

    A file that takes as many blocks as its size needs has no holes. Raises OSError.
    """
    size = status.st_size
    if status.st_blocks * 512 >= size:
        return [(0, size)]
    return list(pieces_of(fd, size))


def is_worth_it(pieces: Pieces, size: int) -> bool:
    """Whether a sparse member is worth it: half of the file is holes, which are a MiB or more.

    The content of a sparse member is kept twice in a root, as its tar-split has to have it.
    """
    holes = size - sum(length for _, length in pieces)
    return len(pieces) <= _MOST_PIECES and holes >= _LEAST and holes * _SHARE >= size


def sparse_map(pieces: Pieces, size: int) -> bytes:
    """Return the map of a file of this size: whole blocks, to be followed by the pieces."""
    told = pieces if pieces and sum(pieces[-1]) == size else [*pieces, (size, 0)]
    lines = [b"%d\n" % len(told), *(b"%d\n%d\n" % piece for piece in told)]
    text = b"".join(lines)
    return text + padding(len(text))
