"""Doing again what the kernel finds busy, and telling of it.

Owns how long, for all of this package's retries. tenacity is imported where something is busy, as
that is seldom and takes longer than many a command. Who can't import later does so ahead.
"""

from __future__ import annotations

import errno
import functools
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tenacity

_here = threading.local()
_log = logging.getLogger("layerstore")
_PASSING = {errno.EBUSY, errno.EINTR}
_SECONDS = 5


def patiently(action: Callable[[str], None]) -> Callable[[str], None]:
    """Have an action repeated where it finds its path busy, for some seconds."""

    @functools.wraps(action)
    def act(path: str) -> None:
        try:
            action(path)
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            _go_on(action, path, error)

    return act


def _go_on(action: Callable[[str], None], path: str, error: OSError) -> None:
    import tenacity  # noqa: PLC0415 - see above

    failed = [error]

    @functools.wraps(action)
    def attempt() -> None:
        if failed:  # that was the first
            raise failed.pop()
        action(path)

    tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, OSError) and error.errno in _PASSING
        ),
        wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.5),
        stop=tenacity.stop_after_delay(_SECONDS),
        before_sleep=_log_retry,
        reraise=True,
    )(attempt)


def _log_retry(state: tenacity.RetryCallState) -> None:
    """Log a failed attempt that will be repeated."""
    error = state.outcome.exception() if state.outcome else None
    name = getattr(state.fn, "__name__", "?")
    _here.retries = retries() + 1
    _log.info("%s: attempt %d failed, trying again: %s", name, state.attempt_number, error)


def retries() -> int:
    """How many failed attempts this thread has repeated so far."""
    return int(getattr(_here, "retries", 0))
