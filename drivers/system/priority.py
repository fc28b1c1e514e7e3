"""How much of the processors a process gets beside others: its niceness, and its threads'.

Owns how a process that this one has started gives way for a while, and what becomes of that where
its niceness can't be taken back. Sources: setpriority(2), sched(7).
"""

from __future__ import annotations

import contextlib
import os

_LAST = 19
"""A hundredth of what others get; by ioprio_set(2) it is the last for the disk as well.

Neither SCHED_IDLE nor the idle class of the disk: who has next to nothing keeps others waiting for
what it holds in the kernel, as the directory that it deletes from.
"""
_LATER = 10
"""Where nobody may take it back."""


class Priority:
    """That of a process, which has this one's to begin with."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._normal = os.getpriority(os.PRIO_PROCESS, os.getpid())
        self._low: int | None = None

    def lower(self) -> None:
        """Have the process give way to others, as far as this one may say so."""
        if self._low is None:
            self._low = max(self._normal, _LAST if self._may_raise() else _LATER)
        self._set(self._low)

    def restore(self) -> None:
        """Have the process work as any other, if this one may do that; from any thread."""
        if self._low is not None and self._low != _LATER:
            self._set(self._normal)

    def _may_raise(self) -> bool:
        try:
            for nice in (self._normal + 1, self._normal):
                os.setpriority(os.PRIO_PROCESS, self._pid, nice)
        except PermissionError:
            return False
        except ProcessLookupError:
            pass
        return True

    def _set(self, nice: int) -> None:
        # Its first thread comes first; what that starts from then on is like it. Whatever has ended
        # meanwhile, or may not be told, does what it does all the same.
        gone = (FileNotFoundError, ProcessLookupError, PermissionError)
        with contextlib.suppress(*gone):
            os.setpriority(os.PRIO_PROCESS, self._pid, nice)
            for thread in os.listdir(f"/proc/{self._pid}/task"):
                with contextlib.suppress(*gone):
                    os.setpriority(os.PRIO_PROCESS, int(thread), nice)
