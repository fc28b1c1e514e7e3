"""What a command of a run writes to where our own output is a terminal.

Owns the copying. A terminal itself would be in the hands of whatever runs: it could read what is
typed there, and change who else may.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

_PIECE = 1 << 16


@contextlib.contextmanager
def apart_from_terminal(fd: int) -> Iterator[int | None]:
    """Give a pipe whose other end is copied to `fd`, for a `with` block; None for no terminal.

    All that was written until the block's end is copied then.
    """
    if not os.isatty(fd):
        yield None
        return
    reader, writer = os.pipe()
    with ThreadPoolExecutor(1, "output") as threads:
        copying = threads.submit(_copy, reader, fd)
        try:
            yield writer
        finally:
            os.close(writer)
    copying.result()


def _copy(reader: int, fd: int) -> None:
    with os.fdopen(reader, "rb", buffering=0) as source:
        while piece := source.read(_PIECE):
            left = memoryview(piece)
            while left:
                try:
                    left = left[os.write(fd, left) :]
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise
                    return  # nobody sits at it any more
