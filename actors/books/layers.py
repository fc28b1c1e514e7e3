"""The books of the read-only layers: who keeps which layer, and what may go.

Owns the entries and their counts and decides on them; it sends nothing and does no work. The
semantics are those of moby's layer/layer_store.go: a layer is kept by references, by child layers
and by mounts, and goes when the last of them does.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct, field

from layerstore.actors.books.retained import LayersRetained
from layerstore.actors.messages import LayerMetadata
from layerstore.drivers.errors import LayerDoesNotExist, LayerNotRetained, MaxDepthExceeded
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.drivers.model.stored import StoredLayer

MAX_DEPTH = 125
"""Layers in one chain. moby: layer.maxLayerDepth."""


class LayerState(enum.Enum):
    """Where a layer is in its life."""

    REGISTERING = "registering"
    READY = "ready"
    REMOVING = "removing"


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


class LayerBooks:
    """All entries, by chain ID."""

    def __init__(
        self, stored: Iterable[StoredLayer], kept: Iterable[ChainID], retained: LayersRetained
    ) -> None:
        """Fill the books from disk, and with what callers hold.

        `stored` has every layer's parent before it; `kept` has the parent of every mount, the
        top layer of every image and what a build cache holds, each as often as it is kept.
        `retained` is brought into line with the disk, and kept up to date from now on.
        """
        self._retained = retained
        self._entries: dict[ChainID, LayerEntry] = {}
        self._holding: dict[int, LayerEntry] = {}
        """Who is held by each reference, which its caller may have been made to forget."""
        for layer in stored:
            parent = self._entries[layer.parent] if layer.parent is not None else None
            self.open_entry(
                parent,
                layer.chain_id,
                layer.diff_id,
                layer.cache_id,
                layer.size,
                layer.descriptor,
            ).state = LayerState.READY
        for parent_id in kept:
            self._entries[parent_id].users += 1
        self._take_over()

    def _take_over(self) -> None:
        retained = self._retained
        for reference, chain_id in list(retained.held.items()):
            if chain_id in self._entries:
                self._entries[chain_id].held.add(reference)
                self._holding[reference] = self._entries[chain_id]
            else:
                self.drop(reference)
        # What was made for a caller that never heard of it goes again.
        makers = {cache_id: reference for reference, cache_id in retained.made.items()}
        for entry in self._entries.values():
            entry.made_by = makers.get(entry.cache_id)
            entry.undone = entry.cache_id in retained.unanswered
            entry.forsaken = entry.undone or entry.chain_id in retained.forsaken
        forsaken = {e.chain_id for e in self._entries.values() if e.forsaken}
        retained.forsaken.update(forsaken)
        for gone in retained.forsaken - forsaken:
            retained.forsaken.discard(gone)
        retained.unanswered.clear()

    def hold(self, entry: LayerEntry, reference: int) -> None:
        """Enter a reference that a caller retains."""
        entry.held.add(reference)
        self._holding[reference] = entry
        self._retained.held[reference] = entry.chain_id

    def hold_new(self, entry: LayerEntry, reference: int) -> None:
        """Enter the reference of whoever has registered a layer that wasn't there."""
        entry.made_by = reference
        self._retained.made[reference] = entry.cache_id
        self.hold(entry, reference)

    def let_go(self, entry: LayerEntry, reference: int) -> None:
        """Strike a reference out; it outlives these books until it is `dropped`."""
        entry.held.discard(reference)
        self._holding.pop(reference, None)
        self.forsake(entry)

    def drop(self, reference: int) -> None:
        """Strike out for good a reference that was let go."""
        self._retained.held.pop(reference, None)
        self._retained.made.pop(reference, None)

    def undo(self, entry: LayerEntry, reference: int, *, stays: bool) -> None:
        """Strike a reference out for good, as if it had never been; what was there before stays.

        So does what it has made, where that `stays`.
        """
        entry.held.discard(reference)
        self._holding.pop(reference, None)
        self.drop(reference)
        if entry.made_by == reference and not entry.forsaken and not stays:
            entry.undone = True
            self.forsake(entry)

    def forsake(self, entry: LayerEntry) -> None:
        """Have a layer go once nothing keeps it."""
        entry.forsaken = True
        self._retained.forsaken.add(entry.chain_id)

    def begin(self, cache_id: str) -> None:
        """Take note of a layer that is being registered."""
        self._retained.unanswered.add(cache_id)

    def end(self, cache_id: str) -> None:
        """Take note that whoever registers a layer is being answered."""
        self._retained.unanswered.discard(cache_id)

    def forsaken(self) -> list[LayerEntry]:
        """Return the ready layers that somebody gave up and nothing keeps."""
        return [entry for entry in self.ready() if entry.forsaken and not entry.references]

    def find(self, chain_id: ChainID) -> LayerEntry:
        """Return a ready layer's entry; LayerDoesNotExist for any other."""
        entry = self._entries.get(chain_id)
        if entry is None or entry.state is not LayerState.READY:
            raise LayerDoesNotExist(chain_id)
        return entry

    def find_any(self, chain_id: ChainID) -> LayerEntry | None:
        """Return the entry in whatever state it is."""
        return self._entries.get(chain_id)

    def find_parent(self, chain_id: ChainID | None) -> LayerEntry | None:
        """Return the entry to register on; MaxDepthExceeded where it is as deep as may be."""
        if chain_id is None:
            return None
        parent = self.find(chain_id)
        if parent.depth >= MAX_DEPTH:
            raise MaxDepthExceeded(chain_id, MAX_DEPTH)
        return parent

    def find_held(self, chain_id: ChainID, reference: int) -> LayerEntry:
        """Return the entry that a reference retains; LayerNotRetained where it doesn't."""
        entry = self.find(chain_id)
        if reference not in entry.held:
            raise LayerNotRetained(chain_id)
        return entry

    def ready(self) -> Iterator[LayerEntry]:
        """Yield the entries of the layers that are there."""
        return (entry for entry in self._entries.values() if entry.state is LayerState.READY)

    def changing(self) -> Iterator[LayerEntry]:
        """Yield the entries of the layers that are being made or removed."""
        return (e for e in self._entries.values() if e.state is not LayerState.READY)

    def open_entry(
        self,
        parent: LayerEntry | None,
        chain_id: ChainID,
        diff_id: DiffID,
        cache_id: str,
        diff_size: int,
        descriptor: str | None,
    ) -> LayerEntry:
        """Write a new entry, registering, as a child of its parent."""
        entry = LayerEntry(
            chain_id=chain_id,
            diff_id=diff_id,
            parent=parent,
            cache_id=cache_id,
            diff_size=diff_size,
            descriptor=descriptor,
            size=diff_size + (parent.size if parent else 0),
            depth=1 + (parent.depth if parent else 0),
            state=LayerState.REGISTERING,
        )
        if parent is not None:
            parent.children += 1
        self._entries[chain_id] = entry
        return entry

    def close_entry(self, entry: LayerEntry) -> None:
        """Strike an entry out; its parent has a child less."""
        del self._entries[entry.chain_id]
        self._retained.forsaken.discard(entry.chain_id)
        self.end(entry.cache_id)
        if entry.parent is not None:
            entry.parent.children -= 1

    def holding(self, reference: int) -> LayerEntry | None:
        """Return the entry that a reference retains, whichever it is."""
        return self._holding.get(reference)
