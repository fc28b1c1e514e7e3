"""Which request the calling thread works for, so that every line of the log can say it.

Owns, for each thread, whom to ask for that number, and the filter that puts it in front of the
lines of `layerstore`'s logger.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_here = threading.local()


def tell_request(of_now: Callable[[], int]) -> None:
    """Have a function tell the request at the root of what this thread is at; 0 for none."""
    _here.request = of_now


class RequestFilter(logging.Filter):
    """Gives each record a `request` (0 for none), and its message the number in front."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record on, once with its number."""
        if not hasattr(record, "request"):
            of_now = getattr(_here, "request", None)
            request = of_now() if of_now is not None else 0
            record.__dict__["request"] = request
            if request:
                record.msg = f"request {request}: {record.msg}"
        return True


def number_lines() -> None:
    """Have every line of the log tell its request. Idempotent."""
    logger = logging.getLogger("layerstore")
    if not any(isinstance(present, RequestFilter) for present in logger.filters):
        logger.addFilter(RequestFilter())
