"""What each of those that are compared does when it is asked, and what it tells of it.

Owns no contender: `moby` and `ours` beside it are those.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

THREADS = 100


class Answer(msgspec.Struct):
    """What a piece of work took, and what came of it."""

    seconds: float = 0.0
    error: str = ""
    chains: list[str] | None = None
    diffs: list[str] | None = None
    bytes: int = 0
    layers: int = 0
    mounts: int = 0

    def ids(self) -> list[tuple[str, str]]:
        """Return the chain ID and the diff ID of each layer."""
        return list(zip(self.chains or [], self.diffs or [], strict=True))


class Contender(Protocol):
    """One that keeps layers; one root is open at a time."""

    name: str

    def open(self, root: Path, mounts: int = 0) -> Answer:
        """Open a root, tell how many layers and how many of so many mounts are there."""

    def close(self) -> None: ...

    def warm(self) -> None:
        """Be as one that has been at work for a while."""

    def register(self, tars: Sequence[Path], parent: str = "") -> Answer:
        """Register tars, each on the one before it, and hold all of them."""

    def release(self, chain: str) -> Answer:
        """Give back what is held of a layer, and tell how many layers went."""

    def create(self, count: int, parent: str) -> Answer:
        """Create read-write layers from as many threads."""

    def remove(self) -> Answer:
        """Remove all of them from as many threads."""

    def drain(self) -> Answer:
        """Wait until the disk is free of what was removed or released."""

    def read(self, chain: str) -> Answer:
        """Read a layer's tar to its end."""

    def pairs(self, chain: str, threads: int) -> Answer:
        """Get and release a layer over and over; the time is of one pair."""
