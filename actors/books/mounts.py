"""The books of the read-write layers: which names are taken, who holds and who mounted what.

Owns the entries and decides on them; it sends nothing and does no work. The semantics are those of
moby's layer/mounted_layer.go and layer_store.go.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct, field

from layerstore.actors.books.index import take_out
from layerstore.actors.books.retained import Mounted, MountsRetained
from layerstore.actors.messages import MountMetadata, MountsByOrigin
from layerstore.drivers.errors import LayerNotRetained, MountDoesNotExist, MountNameConflict
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.stored import StoredMount


class MountState(enum.Enum):
    """Where a read-write layer is in its life."""

    CREATING = "creating"
    READY = "ready"
    REMOVING = "removing"


class MountEntry(Struct, kw_only=True):
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
    image: ImageID | None = None
    """Which it was made from, where that is noted."""

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
    """All entries: by name, by reference, and by what they were made from."""

    def __init__(
        self,
        stored: Iterable[StoredMount],
        cache_ids: Mapping[ChainID, str],
        origins: Mapping[str, ImageID],
        retained: MountsRetained,
    ) -> None:
        """Fill the books from disk, and with what callers hold.

        `cache_ids` are the driver's IDs of the parents, `origins` the images by mount ID.
        `retained` is brought into line with the disk, and kept up to date from now on.
        """
        self._retained = retained
        self._entries: dict[str, MountEntry] = {}
        self._holding: dict[int, MountEntry] = {}
        """Who is held by each reference, which its caller may have been made to forget."""
        self._by_image: dict[ImageID, set[str]] = {}
        """The names of those whose image is noted."""
        self._unnoted: dict[ChainID | None, set[str]] = {}
        """The names of the others, by parent."""
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
                image=origins.get(mount.mount_id),
            )
            self._enter(entry)
        for gone in held.values():
            for reference in gone:
                del retained.held[reference]
                retained.made.pop(reference, None)

    def hold(self, entry: MountEntry, reference: int) -> None:
        """Enter a reference that a caller holds."""
        entry.references.add(reference)
        self._holding[reference] = entry
        self._retained.held[reference] = entry.mount_id

    def hold_new(self, entry: MountEntry, reference: int) -> None:
        """Enter the reference of whoever has made a layer."""
        entry.made_by = reference
        self._retained.made[reference] = entry.mount_id
        self.hold(entry, reference)

    def drop(self, entry: MountEntry, reference: int) -> None:
        """Strike a reference out for good; out of its entry's alone it outlives these books."""
        entry.references.discard(reference)
        self._holding.pop(reference, None)
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
        self._holding.update(dict.fromkeys(entry.references, entry))
        self._beside(entry).add(entry.name)

    def _beside(self, entry: MountEntry) -> set[str]:
        if entry.image is not None:
            return self._by_image.setdefault(entry.image, set())
        return self._unnoted.setdefault(entry.parent, set())

    def _take_out(self, entry: MountEntry) -> None:
        if entry.image is not None:
            take_out(self._by_image, entry.image, entry.name)
        else:
            take_out(self._unnoted, entry.parent, entry.name)

    def note_origin(self, name: str, reference: int, image_id: ImageID) -> None:
        """Note which image a read-write layer was made from; raises what find_held does."""
        entry = self.find_held(name, reference)
        self._take_out(entry)
        entry.image = image_id
        self._beside(entry).add(entry.name)

    def made_from(self, image_id: ImageID, on_layer: ChainID | None) -> MountsByOrigin:
        """Return the names of those made from an image, and of those that may be, on its layer."""
        unnoted = self._unnoted.get(on_layer, ()) if on_layer is not None else ()
        return MountsByOrigin(
            noted=sorted(self._by_image.get(image_id, ())), unnoted=sorted(unnoted)
        )

    def strike(self, entry: MountEntry) -> None:
        """Free the name."""
        self.end(entry.mount_id)
        del self._entries[entry.name]
        self._take_out(entry)

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
        entry = self._holding.get(reference)
        return entry if entry is not None and reference in entry.references else None

    def all(self) -> Iterator[MountEntry]:
        """Yield every entry, ordered by name."""
        return iter([self._entries[name] for name in sorted(self._entries)])
