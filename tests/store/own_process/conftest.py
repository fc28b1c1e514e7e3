"""Tests of an engine's own life have it as a child of this process."""

from __future__ import annotations

from tests.support.ways.fixtures import way

__all__ = ["way"]
