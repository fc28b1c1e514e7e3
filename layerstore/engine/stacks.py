"""Where a thread is at, for the log."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

_FRAMES = 12


def stack_of(thread: int | None) -> Iterator[str]:
    """Give the innermost calls of a thread by its identifier, a line each; none if it has ended."""
    frame = sys._current_frames().get(thread or 0)
    if frame is not None:
        stack = traceback.extract_stack(frame)[-_FRAMES:]
        yield from (f"    {at.filename}:{at.lineno} in {at.name}" for at in stack)
