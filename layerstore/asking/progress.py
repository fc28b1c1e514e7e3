"""How somebody is told how far a long operation has got."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is worked on, the bytes done and the bytes there are; 0 if that isn't known."""
