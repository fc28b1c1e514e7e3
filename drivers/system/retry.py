"""How retries are told of: the one thing that all of this package's retries share."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tenacity

_here = threading.local()
_log = logging.getLogger("layerstore")


def log_retry(state: tenacity.RetryCallState) -> None:
    """Log a failed attempt that will be repeated; for tenacity's `before_sleep`."""
    error = state.outcome.exception() if state.outcome else None
    name = getattr(state.fn, "__name__", "?")
    _here.retries = retries() + 1
    _log.info("%s: attempt %d failed, trying again: %s", name, state.attempt_number, error)


def retries() -> int:
    """How many failed attempts this thread has repeated so far."""
    return int(getattr(_here, "retries", 0))
