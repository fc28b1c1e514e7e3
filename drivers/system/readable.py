"""Waiting until a descriptor can be read; select(2) takes none of more than 1,023."""

from __future__ import annotations

import math
import select
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket, a file."""

    def fileno(self) -> int:
        """Return the number."""


def is_readable(source: int | HasDescriptor, timeout: float | None = None) -> bool:
    """Wait at most `timeout` seconds, without end if None, until there is something to read.

    The end of a pipe, and of a process that a descriptor stands for, counts.
    """
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(None if timeout is None else math.ceil(timeout * 1000)))
