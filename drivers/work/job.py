"""What a job is: a frozen struct of primitives that somebody can do on a disk.

`heavy` jobs loop over files and run in a child; the others are a few system calls and run in a
worker's thread. File descriptors travel beside a job, never in it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Job(Struct, frozen=True, kw_only=True):
    """The root of all jobs."""

    heavy: ClassVar[bool] = False
    """Loops over files, so it runs in a child process."""
    brings: ClassVar[Any] = type(None)
    """What a child's answer is converted to, as it can be anything; a list comes in parts."""
    follows: ClassVar[bool] = False
    """Ends what was begun or frees what was taken, so it is admitted however busy the store is."""

    @property
    def joins(self) -> bool:
        """Whether a child can do it together with others, all for one message.

        It must be a few system calls, plain data, and repeatable where the child dies: its field
        `again` says so.
        """
        return False

    @property
    def about(self) -> tuple[str, ...]:
        """Return the driver's IDs of the read-write layers whose content it looks at or changes.

        What of them lies in mounts, which a child doesn't see, is lent to it.
        """
        return ()

    def outcome(self, brought: Any) -> Any:
        """Return the outcome, made of what a child brought."""
        return brought

    def summary(self) -> str:
        """IDs only, for traces and error messages; never contents."""
        return ""


class SweepTrash(Job, frozen=True, kw_only=True):
    """Delete all that lies in the trash; the outcome is how many entries it held."""

    heavy: ClassVar[bool] = True
    brings: ClassVar[Any] = int
    hands: int = 1
    """Threads that may share it, in a process that does nothing else."""
