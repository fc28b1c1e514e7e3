"""Which programs of others are here, for the tests that need them."""

from __future__ import annotations

import os
import shutil


def is_installed(name: str) -> bool:
    """Whether a program, or a file or directory where the name is a path, is here."""
    return os.path.exists(name) if "/" in name else shutil.which(name) is not None
