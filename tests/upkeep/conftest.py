"""Tests of what is public: every way to have a store."""

from __future__ import annotations

from tests.support.ways.fixtures import every_way as way

__all__ = ["way"]
