"""The page of one read-only layer: its facts, its state, and what keeps it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from layerstore.actors.messages import LayerMetadata
from layerstore.drivers.model.ids import ChainID, DiffID


class LayerState(enum.Enum):
    """Where a layer is in its life."""

    REGISTERING = "registering"
    READY = "ready"
    REMOVING = "removing"
    FAILED = "failed"
    """It never came to be, and is in the books no more."""


class LayerEntry(Struct, kw_only=True):
    """One layer's page."""

    chain_id: ChainID
    diff_id: DiffID
    parent: LayerEntry | None
    cache_id: str
    diff_size: int
    descriptor: str | None
    size: int
    depth: int
    state: LayerState
    created: bool = False
    """Whether its directories are there while it is registered, so that others can lie on them."""
    filled: bool = False
    """Whether all is in it that will be, and in those beneath it, so that others can look at it."""
    children: int = 0
    users: int = 0
    """Mounts, registrations on it and jobs that read it."""
    held: set[int] = field(default_factory=set)
    """References that callers retain."""
    forsaken: bool = False
    """Somebody gave it up, so it goes once nothing keeps it. What was never retained since the
    store was opened stays, whatever uses it in passing."""
    made_by: int | None = None
    """The reference of whoever registered it, for the first time and through this store."""
    undone: bool = False
    """It is to be as if it had never been made, so its parent is not given up with it."""
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """What to do when its state changes."""
    unspent: int = 0
    """How often leave was given to give back a reference unheard, without its having come yet."""
    lent: int = 0
    """How often leave was given to take a reference unheard, without its having come yet."""
    lending: int = 0
    """How often it is to be there."""
    releasing: list[Callable[[], None]] = field(default_factory=list)
    """Releases that wait to know whether theirs is the last reference."""

    @property
    def references(self) -> int:
        """Everything that keeps the layer."""
        return self.children + self.users + len(self.held)

    def metadata(self) -> LayerMetadata:
        """Return the facts for the outside."""
        return LayerMetadata(
            chain_id=self.chain_id,
            diff_id=self.diff_id,
            parent=self.parent.chain_id if self.parent else None,
            size=self.size,
            diff_size=self.diff_size,
            cache_id=self.cache_id,
            descriptor=self.descriptor,
            depth=self.depth,
            references=self.references,
        )

    def ancestors(self) -> Iterator[LayerEntry]:
        """Yield the parents, nearest first."""
        entry = self.parent
        while entry is not None:
            yield entry
            entry = entry.parent

    def wake(self) -> None:
        """Let everything that waited for a change of state look again."""
        waiting, self.waiting = self.waiting, []
        for look in waiting:
            look()
