"""How somebody is told how far a long operation has got, and what is odd about it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is worked on, the bytes done and the bytes there are; 0 if that isn't known."""

Notice = Callable[[str], object]
"""Called with a line that somebody should read, though nothing has failed."""
