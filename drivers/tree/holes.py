"""Where a file on the disk has content, and where holes.

Source: lseek(2), SEEK_DATA and SEEK_HOLE.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def pieces_of(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each part of a file of this size that isn't a hole, in order.

    Moves the file's offset. Raises OSError.
    """
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # a hole to the end
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < end:
            yield start, end - start
