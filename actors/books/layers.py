"""The books of the read-only layers: who keeps which layer, and what may go.

Owns the entries and their counts and decides on them; it sends nothing and does no work. The
semantics are those of moby's layer/layer_store.go: a layer is kept by references, by child layers
and by mounts, and goes when the last of them does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from layerstore.actors.books.index import OrderedIds, only, take_out
from layerstore.actors.books.layer_entry import LayerEntry, LayerState
from layerstore.actors.books.leave import Leaves
from layerstore.actors.books.retained import LayersRetained
from layerstore.drivers.errors import LayerDoesNotExist, LayerNotRetained, MaxDepthExceeded
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.drivers.model.stored import StoredLayer


class LayerBooks:
    """All entries: by chain ID, by the start of that, and by diff ID."""

    def __init__(
        self,
        stored: Iterable[StoredLayer],
        kept: Iterable[ChainID],
        retained: LayersRetained,
        max_layers: int,
    ) -> None:
        """Fill the books from disk, and with what callers hold; `max_layers` bounds new chains.

        `stored` has every layer's parent before it; `kept` has the parent of every mount, the
        top layer of every image and what a build cache holds, each as often as it is kept.
        `retained` is brought into line with the disk, and kept up to date from now on.
        """
        self._retained = retained
        self._max_layers = max_layers
        self._entries: dict[ChainID, LayerEntry] = {}
        self._with_diff: dict[DiffID, set[ChainID]] = {}
        self._holding: dict[int, LayerEntry] = {}
        """Who is held by each reference, which its caller may have been made to forget."""
        self._leaves = Leaves(retained)
        known = list(stored)
        self._ids = OrderedIds(layer.chain_id for layer in known)
        for layer in known:
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
        for entry in self._entries.values():
            self._leaves.give(entry)

    def holds(self, entry: LayerEntry, reference: int) -> bool:
        """Whether a reference retains a layer, and its caller hasn't taken it out already.

        One that was put back in, while these books were filled, is entered.
        """
        if entry.state is not LayerState.READY:
            return reference in entry.held
        if self._retained.held.get(reference) != entry.chain_id:
            return False
        if reference not in entry.held:
            self.hold(entry, reference)
        return True

    def may_let_go(self, entry: LayerEntry) -> bool:
        """Whether a reference can be let go: the last one, or one for which there is leave.

        Else others are on their way, to be given back or taken, and will say so.
        """
        return self._leaves.recall(entry) if len(entry.held) == 1 else self._leaves.take(entry)

    def is_kept(self, entry: LayerEntry) -> bool:
        """Whether anything keeps a layer; where nothing does, nobody takes a reference unheard."""
        return bool(entry.references) or not self._leaves.recall(entry)

    def hold(self, entry: LayerEntry, reference: int) -> None:
        """Enter a reference that a caller retains."""
        entry.held.add(reference)
        self._holding[reference] = entry
        self._retained.held[reference] = entry.chain_id
        self._leaves.give(entry)

    def hold_another(self, entry: LayerEntry, reference: int) -> None:
        """Enter a reference of somebody who had no leave to take it."""
        self.hold(entry, reference)
        self._leaves.lend(entry)

    def hold_taken(self, chain_id: ChainID, reference: int) -> LayerEntry:
        """Enter a reference that a caller has taken, and has noted."""
        entry = self._entries[chain_id]
        entry.held.add(reference)
        self._holding[reference] = entry
        self._leaves.taken(entry)
        return entry

    def let_go_taken(self, entry: LayerEntry, reference: int) -> None:
        """Strike out for good a reference that a caller has given back by leave for that."""
        entry.unspent -= 1
        if reference in entry.held:
            self.let_go(entry, reference)
            self.drop(reference)
        self._leaves.give(entry)

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
        if reference in entry.held and len(entry.held) > 1:
            self._leaves.take(entry)
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

    def find_beginning(self, start: str) -> LayerEntry:
        """Return the ready entry whose chain ID's digits begin so.

        Raises LayerDoesNotExist, AmbiguousName.
        """
        fitting = map(self._entries.__getitem__, self._ids.beginning(f"sha256:{start}"))
        found = [entry for entry in fitting if entry.state is LayerState.READY]
        entry = only(found, start, "layers")
        if entry is None:
            raise LayerDoesNotExist(start)
        return entry

    def find_twin(self, diff_id: DiffID) -> LayerEntry | None:
        """Return a ready entry with a diff ID, on whatever parent."""
        twins = map(self._entries.__getitem__, self._with_diff.get(diff_id, ()))
        return next((twin for twin in twins if twin.state is LayerState.READY), None)

    def count(self) -> int:
        """Return how many there are, with those being made or removed."""
        return len(self._entries)

    def find_any(self, chain_id: ChainID) -> LayerEntry | None:
        """Return the entry in whatever state it is."""
        return self._entries.get(chain_id)

    def find_parent(self, chain_id: ChainID | None, *, ahead: bool = False) -> LayerEntry | None:
        """Return the entry to register on; MaxDepthExceeded where it is as deep as may be.

        With `ahead` it may be one that is still being registered itself.
        """
        if chain_id is None:
            return None
        parent = self._entries.get(chain_id)
        if parent is None or not ahead or parent.state is not LayerState.REGISTERING:
            parent = self.find(chain_id)
        if parent.depth >= self._max_layers:
            raise MaxDepthExceeded(chain_id, self._max_layers)
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
        self._ids.enter(chain_id)
        self._with_diff.setdefault(diff_id, set()).add(chain_id)
        return entry

    def add_up(self, entry: LayerEntry) -> None:
        """Enter the size of a layer and all its parents, once that of each is known."""
        entry.size = entry.diff_size + (entry.parent.size if entry.parent else 0)

    def fail(self, entry: LayerEntry) -> None:
        """Strike out an entry that was being registered, and let those look that waited for it."""
        entry.state = LayerState.FAILED
        self.close_entry(entry)
        entry.wake()

    def close_entry(self, entry: LayerEntry) -> None:
        """Strike an entry out; its parent has a child less."""
        del self._entries[entry.chain_id]
        self._ids.strike(entry.chain_id)
        take_out(self._with_diff, entry.diff_id, entry.chain_id)
        self._retained.forsaken.discard(entry.chain_id)
        self._leaves.forget(entry)
        self.end(entry.cache_id)
        if entry.parent is not None:
            entry.parent.children -= 1

    def holding(self, reference: int) -> LayerEntry | None:
        """Return the entry that a reference retains, whichever it is."""
        return self._holding.get(reference)
