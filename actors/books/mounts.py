"""The books of the read-write layers: which names are taken, who holds and who mounted what.

Owns the entries and decides on them; it sends nothing and does no work. The semantics are those of
moby's layer/mounted_layer.go and layer_store.go.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from layerstore.actors.books.retained import Mounted, MountsRetained
from layerstore.actors.messages import MountMetadata
from layerstore.drivers.errors import LayerNotRetained, MountDoesNotExist, MountNameConflict
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.stored import StoredMount


class MountState(enum.Enum):
    """Where a read-write layer is in its life."""

    CREATING = "creating"
    READY = "ready"
    REMOVING = "removing"


@dataclass(slots=True, kw_only=True)
class MountEntry:
    """One read-write layer's page."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
    parent_cache_id: str | None
    state: MountState
    references: set[int] = field(default_factory=set)
    made_by: int | None = None
    """The reference of whoever made it, through this store."""
    forsaken: bool = False
    """Somebody gave it up, so it goes with its last reference, however that ends."""
    mount_count: int = 0
    mounted_here: bool = False
    """The mount was made through this store, not found when it was opened."""
    path: str | None = None
    busy: bool = False
    """A mount, an unmount or the removal is under way; only one may be."""
    readers: int = 0
    """Jobs that read or write its files; a removal waits for them."""
    waiting: list[Callable[[], None]] = field(default_factory=list)
    removal: Callable[[], None] | None = None

    @property
    def diff_parent(self) -> str | None:
        """The driver's ID of what its changes are counted against."""
        return self.init_id or self.parent_cache_id

    def metadata(self) -> MountMetadata:
        """Return the facts for the outside."""
        return MountMetadata(
            name=self.name,
            mount_id=self.mount_id,
            init_id=self.init_id,
            parent=self.parent,
            references=len(self.references),
            mount_count=self.mount_count,
            path=self.path,
            state=self.state.value,
        )

    def when_free(self, step: Callable[[], None]) -> None:
        """Take the step now, or in its turn once no other is under way."""
        self.waiting.append(step)
        self.advance()

    def when_unused(self, removal: Callable[[], None]) -> None:
        """Take the last step once no other is under way and nobody reads any more."""
        self.removal = removal
        self.advance()

    def free(self) -> None:
        """End a step and go on with those that wait."""
        self.busy = False
        self.advance()

    def advance(self) -> None:
        """Take the steps that wait until one of them stays under way."""
        while self.waiting and not self.busy:
            self.waiting.pop(0)()
        if self.removal is not None and not self.busy and not self.readers:
            removal, self.removal = self.removal, None
            removal()


_NOT_MOUNTED = Mounted(0, None, here=False)


class MountBooks:
    """All entries: by name, by ID and by parent."""

    def __init__(
        self,
        stored: Iterable[StoredMount],
        cache_ids: Mapping[ChainID, str],
        retained: MountsRetained,
    ) -> None:
        """Fill the books from disk, and with what callers hold.

        `cache_ids` are the driver's IDs of the parents. `retained` is brought into line with the
        disk, and kept up to date from now on.
        """
        self._retained = retained
        self._entries: dict[str, MountEntry] = {}
        self._by_id: dict[str, MountEntry] = {}
        self._on_layer: dict[ChainID | None, dict[str, MountEntry]] = {}
        """The entries by parent, and by name."""
        makers = {mount_id: reference for reference, mount_id in retained.made.items()}
        held: dict[str, set[int]] = {}
        for reference, mount_id in retained.held.items():
            held.setdefault(mount_id, set()).add(reference)
        for mount in stored:
            known = retained.mounted.get(mount.mount_id, _NOT_MOUNTED)
            entry = MountEntry(
                name=mount.name,
                mount_id=mount.mount_id,
                init_id=mount.init_id,
                parent=mount.parent,
                parent_cache_id=cache_ids[mount.parent] if mount.parent else None,
                state=MountState.READY,
                references=held.pop(mount.mount_id, set()),
                made_by=makers.get(mount.mount_id),
                mount_count=known.count,
                mounted_here=known.here,
                path=known.path,
            )
            self._enter(entry)
        for gone in held.values():
            for reference in gone:
                del retained.held[reference]
                retained.made.pop(reference, None)

    def hold(self, entry: MountEntry, reference: int) -> None:
        """Enter a reference that a caller holds."""
        entry.references.add(reference)
        self._retained.held[reference] = entry.mount_id

    def hold_new(self, entry: MountEntry, reference: int) -> None:
        """Enter the reference of whoever has made a layer."""
        entry.made_by = reference
        self._retained.made[reference] = entry.mount_id
        self.hold(entry, reference)

    def drop(self, entry: MountEntry, reference: int) -> None:
        """Strike a reference out for good; out of its entry's alone it outlives these books."""
        entry.references.discard(reference)
        self._retained.held.pop(reference, None)
        self._retained.made.pop(reference, None)

    def begin(self, mount_id: str) -> None:
        """Take note of a read-write layer that is being made."""
        self._retained.unanswered.add(mount_id)

    def end(self, mount_id: str) -> None:
        """Take note that whoever makes a read-write layer is being answered."""
        self._retained.unanswered.discard(mount_id)

    def counted(self, entry: MountEntry) -> None:
        """Take note of how a layer is mounted, after that has changed."""
        if entry.mount_count:
            known = Mounted(entry.mount_count, entry.path, entry.mounted_here)
            self._retained.mounted[entry.mount_id] = known
        else:
            self.changing(entry)

    def changing(self, entry: MountEntry) -> None:
        """Take note that a layer is about to be unmounted."""
        self._retained.mounted.pop(entry.mount_id, None)

    def reserve(
        self, name: str, mount_id: str, init_id: str | None, parent: ChainID | None
    ) -> MountEntry:
        """Take a name; MountNameConflict where it is taken, in whatever state its layer is."""
        if name in self._entries:
            raise MountNameConflict(name)
        entry = MountEntry(
            name=name,
            mount_id=mount_id,
            init_id=init_id,
            parent=parent,
            parent_cache_id=None,
            state=MountState.CREATING,
        )
        self._enter(entry)
        return entry

    def _enter(self, entry: MountEntry) -> None:
        self._entries[entry.name] = entry
        self._by_id[entry.mount_id] = entry
        self._on_layer.setdefault(entry.parent, {})[entry.name] = entry

    def strike(self, entry: MountEntry) -> None:
        """Free the name."""
        self.end(entry.mount_id)
        del self._entries[entry.name]
        self._by_id.pop(entry.mount_id, None)
        beside = self._on_layer[entry.parent]
        del beside[entry.name]
        if not beside:
            del self._on_layer[entry.parent]

    def find(self, name: str) -> MountEntry:
        """Return a ready entry; MountDoesNotExist for any other."""
        entry = self._entries.get(name)
        if entry is None or entry.state is not MountState.READY:
            raise MountDoesNotExist(name)
        return entry

    def find_any(self, name: str) -> MountEntry | None:
        """Return the entry in whatever state it is."""
        return self._entries.get(name)

    def find_held(self, name: str, reference: int) -> MountEntry:
        """Return the entry that a reference holds; LayerNotRetained where it doesn't."""
        entry = self.find(name)
        if reference not in entry.references:
            raise LayerNotRetained(name)
        return entry

    def holding(self, reference: int) -> MountEntry | None:
        """Return the entry that a reference holds, whichever it is."""
        entry = self._by_id.get(self._retained.held.get(reference, ""))
        return entry if entry is not None and reference in entry.references else None

    def on(self, parent: ChainID | None) -> Iterator[MountEntry]:
        """Yield every entry that has a layer as its parent, or none, ordered by name."""
        beside = self._on_layer.get(parent, {})
        return iter([beside[name] for name in sorted(beside)])

    def all(self) -> Iterator[MountEntry]:
        """Yield every entry, ordered by name."""
        return iter([self._entries[name] for name in sorted(self._entries)])
