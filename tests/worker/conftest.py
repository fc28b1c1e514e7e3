"""Stores here have their workers and children from the start, as they do by default."""

from __future__ import annotations

import pytest


@pytest.fixture
def prespawn() -> bool:
    return True
