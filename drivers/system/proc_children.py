"""Which processes a process has started, as /proc tells it.

Owns nothing. proc(5), /proc/<pid>/task/<tid>/children: the kernel lists children by thread, and
those of a thread that ends go over to another one.
"""

from __future__ import annotations

import os


def children_of_thread(thread: int, process: int | str = "self") -> set[int]:
    """Return the process IDs of a thread's children; none where the kernel doesn't tell."""
    try:
        with open(f"/proc/{process}/task/{thread}/children", encoding="ascii") as children:
            return {int(number) for number in children.read().split()}
    except OSError:
        return set()


def children_of(process: int) -> list[int]:
    """Return the process IDs of a process's children, of all its threads, in ascending order.

    Raises FileNotFoundError where there is no such process.
    """
    before: set[int] | None = None
    while True:
        found: set[int] = set()
        for thread in os.listdir(f"/proc/{process}/task"):
            found |= children_of_thread(int(thread), process)
        if found == before:
            return sorted(found)
        before = found  # a thread may have ended, whose children went to one looked at already
