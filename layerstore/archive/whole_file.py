"""Writing a file whole or not at all: beside its target until everything is in it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import IO

from layerstore.drivers.system.durable import temporary_beside

_BUFFER = 1 << 20


def is_stream(target: str | os.PathLike[str]) -> bool:
    """Whether something is there that is written to and not replaced: a device, a pipe."""
    try:
        return not stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def written_beside(path: str) -> Iterator[IO[bytes]]:
    """Give a file that takes a path once the block ends well; else the path is as it was.

    Raises OSError.
    """
    temporary = temporary_beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        # Like any other file that a user makes: readable as the umask says.
        with os.fdopen(os.open(temporary, flags, 0o666), "wb", _BUFFER) as out:
            yield out
            out.flush()
            os.rename(temporary, path)
    except BaseException:
        # An interrupt can come right before it is made, or after it has got its name.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
