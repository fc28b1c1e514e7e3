"""The error about another engine on this machine that is asked for an image, or to take one.

Owns its words only.
"""

from __future__ import annotations

from layerstore.drivers.errors.base import LayerStoreError


class EngineError(LayerStoreError):
    """Another engine says no, or breaks off; `reason` is what it said."""

    def __init__(self, engine: str, what: str, reason: str) -> None:
        super().__init__(engine, what, reason)
        self.engine = engine
        """Where it is asked, such as `unix:///var/run/docker.sock`."""
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"docker daemon at {self.engine}: {self.what}: {self.reason}"
