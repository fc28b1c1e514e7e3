"""Signals that a process which is being spawned gets only once it is ready for them.

Owns nothing but the mask of the calling thread, for a while. What is spawned inherits it, through
exec too, so that signals wait for it; it lets them in itself. signal(7), "Signal mask and pending
signals".
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def signals_held(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Hold signals back from what is spawned in a `with` block, and from this thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
