"""How retries are told of: the one thing that all of this package's retries share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tenacity

_log = logging.getLogger("layerstore")


def log_retry(state: tenacity.RetryCallState) -> None:
    """Log a failed attempt that will be repeated; for tenacity's `before_sleep`."""
    error = state.outcome.exception() if state.outcome else None
    name = getattr(state.fn, "__name__", "?")
    _log.info("%s: attempt %d failed, trying again: %s", name, state.attempt_number, error)
