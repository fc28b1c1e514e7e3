"""Which request the calling thread works for, so that every line of the log can say it.

Owns a number for each thread, and the filter that puts it in front of the lines of `layerstore`'s
logger.
"""

from __future__ import annotations

import logging
import threading

_here = threading.local()


def working_for(request: int) -> None:
    """Take note of the request at the root of what this thread does; 0 for none."""
    _here.request = request


class RequestFilter(logging.Filter):
    """Gives each record a `request` (0 for none), and its message the number in front."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record on, once with its number."""
        if not hasattr(record, "request"):
            request = getattr(_here, "request", 0)
            record.__dict__["request"] = request
            if request:
                record.msg = f"request {request}: {record.msg}"
        return True


def number_lines() -> None:
    """Have every line of the log tell its request. Idempotent."""
    logger = logging.getLogger("layerstore")
    if not any(isinstance(present, RequestFilter) for present in logger.filters):
        logger.addFilter(RequestFilter())
