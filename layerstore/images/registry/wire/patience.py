"""How long registries are waited for, and what is tried again.

Owns the numbers and the loop; nothing is tried for ever.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity
from msgspec import Struct

from layerstore.drivers.errors import LayerStoreError
from layerstore.images.registry.stop import Stop

_T = TypeVar("_T")
_log = logging.getLogger("layerstore")


class Patience(Struct, frozen=True, kw_only=True):
    """Numbers by which it is decided that something is tried again, or over."""

    attempts: int = 5
    """How often anything is tried, in all."""
    first_wait: float = 0.25
    """Seconds before the second attempt, twice as many before each further one, and jittered."""
    longest_wait: float = 8
    """Seconds between two attempts, beside what the registry asks for."""
    longest_asked: float = 60
    """Seconds to wait that a registry may ask for (Retry-After); for more, nobody waits."""
    connect: float = 10
    """Seconds until a connection is there."""
    silence: float = 60
    """Seconds until an answer, or its next bytes, come."""
    window: float = 30
    """Seconds of waiting for a body after each of which its speed is looked at."""
    least_speed: int = 1024
    """Bytes a second below which a connection is given up."""
    progress: int = 1 << 20
    """Bytes of a blob after which attempts count from one again (or a 64th of it, if less)."""
    pages: int = 1000
    """Pages of a list of tags."""


class PassingError(Exception):
    """Something failed that may go well when it is tried again; else `final` is what to raise."""

    def __init__(self, final: LayerStoreError, asked: float | None = None) -> None:
        super().__init__(str(final))
        self.final = final
        self.asked = asked
        """Seconds that the registry asks to wait."""


def patiently(
    action: Callable[[], _T], what: str, stop: Stop, patience: Patience, attempts: int | None = None
) -> _T:
    """Do something, again and again while it raises PassingError, as often as patience allows.

    Raises the `final` of the last one, and JobCancelled as soon as the stop is told.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _is_worth_it(error, patience)),
        wait=lambda state: wait_before(state.attempt_number, _asked(state), patience),
        stop=tenacity.stop_after_attempt(attempts or patience.attempts),
        sleep=lambda seconds: stop.wait(seconds, what),
        before_sleep=lambda state: _log_retry(state, what),
        reraise=True,
    )
    try:
        return retrying(action)
    except PassingError as error:
        stop.check(what)
        raise error.final from error.__cause__


def wait_before(number: int, asked: float | None, patience: Patience) -> float:
    """Return for how many seconds to wait after so many attempts that failed."""
    longest = min(patience.longest_wait, patience.first_wait * 2.0 ** min(number - 1, 30))
    jittered = longest * random.uniform(0.5, 1)  # noqa: S311 - nobody is to be kept from guessing it
    return jittered + (asked or 0)


def seconds_asked(retry_after: str | None, now: float) -> float | None:
    """Return what a Retry-After asks for: seconds, or a date; None if it can't be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _is_worth_it(error: BaseException, patience: Patience) -> bool:
    return isinstance(error, PassingError) and (error.asked or 0) <= patience.longest_asked


def _log_retry(state: tenacity.RetryCallState, what: str) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    _log.info("%s: attempt %d failed, trying again: %s", what, state.attempt_number, error)


def _asked(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.asked if isinstance(error, PassingError) else None
