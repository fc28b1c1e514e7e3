"""Taking turns: who changes a file of credentials waits for who is at it.

Owns the wait, which has an end. It is for ourselves: docker knows nothing of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

import tenacity

SECONDS = 10.0
"""Nobody needs that long for a file; whoever may list the directory can, though."""


@contextlib.contextmanager
def turn(directory: str, seconds: float = SECONDS) -> Iterator[None]:
    """Wait until nobody else changes files in a directory, for a `with` block. Raises OSError.

    After so many seconds, and where the file system has no such thing, it isn't waited for.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(BlockingIOError),
            wait=tenacity.wait_random(0.001, 0.01),
            stop=tenacity.stop_after_delay(seconds),
            reraise=True,
        )
        with contextlib.suppress(OSError):  # whose turn it is, is as good as not known
            waiting(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
