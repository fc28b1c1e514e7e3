"""Fuzzing with coverage guidance: `python -m tests.ordeals.fuzz TARGET --seconds N`.

A target is a module with `run`, which takes bytes and raises for a bug only; `seeds`, the inputs to
begin with, made by code; `LONGEST`, the length in bytes that inputs are kept to; and `prepare`,
called once with a directory. A target that has files made can then see that directory only.
"""

from __future__ import annotations

import os

FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
"""A directory in memory."""
TARGETS = ("members", "layers", "streams", "records", "frames", "documents")
PLANTED = "planted"
"""A target with a bug, to see that bugs are found."""
