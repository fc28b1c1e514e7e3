"""Calls of the C library whose arguments are ready before a process is forked that makes them.

Owns the form of such calls only. Whatever a process that was just forked writes to is copied, page
by page, and Python writes to whatever it looks at, as it counts references; so a few plain calls
take a fraction of what code that puts them together does.
"""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Calls:
    """A row of calls, each of which tells that it has failed by a negative number."""

    def __init__(self) -> None:
        self._calls: list[tuple[ctypes._NamedFuncPointer, tuple[object, ...]]] = []

    def add(self, name: str, *arguments: object) -> None:
        """Add a call of a function; numbers are passed as wide as a register."""
        wide = tuple(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
        self._calls.append((getattr(_libc, name), wide))

    def make(self) -> None:
        """Make all of them, until one fails with an OSError."""
        for function, arguments in self._calls:
            if function(*arguments) < 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), function.__name__)
