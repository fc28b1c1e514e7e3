"""Tests of attaching itself have the owner, or its client, in this process."""

from __future__ import annotations

from tests.support.ways.fixtures import way

__all__ = ["way"]
